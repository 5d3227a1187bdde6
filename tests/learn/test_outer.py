"""Outer steps: worked by hand, bound to what lets peers agree, and taken by the workbench."""

import random

import networkx as nx
import numpy as np
import pytest
import torch
from msgspec.structs import replace

import robust
import sim
import topologies.mixing
from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError, LocalError
from p2pfed.identity import Identity
from p2pfed.learn.learner import JobCancelled
from p2pfed.learn.outer import (
    Diloco,
    Noloco,
    OuterState,
    OuterStep,
    create_outer_step,
    diloco_rate_max,
    noloco_rate_max,
)
from p2pfed.learn.workbench import Exchange, Workbench
from p2pfed.updates.codecs import Float32, Sparse
from tests.learn.peers import MEAN, integration, make_bench, make_header, make_learner, training

NOBODY = integration({})


def no_payload(content_hash: bytes) -> bytes:
    raise AssertionError(content_hash.hex())


def bench_with(outer: OuterStep | None, peer: str = "a") -> Workbench:
    exchange = Exchange(method="full", codec=Float32(), integrator=MEAN, outer=outer)
    return Workbench(make_learner(peer), exchange)


def test_diloco_by_hand() -> None:
    start, momentum = torch.tensor([2.0, 0.0]), torch.tensor([0.2, -0.1])
    mixed = start - torch.tensor([0.75, -0.75])
    after, momentum = Diloco().step(start, momentum, mixed)
    torch.testing.assert_close(momentum, torch.tensor([0.93, -0.84]))
    torch.testing.assert_close(after, torch.tensor([0.8891, 1.0542]))


def test_noloco_by_hand() -> None:
    start = torch.tensor([[1.0, -2.0], [3.0, 2.0]])
    trained = torch.tensor([[0.5, -1.0], [2.0, 2.5]])
    momentum = torch.tensor([[0.1, 0.0], [0.0, -0.2]])
    after, momentum = Noloco().step(start, momentum, trained.mean(dim=0))
    torch.testing.assert_close(momentum, torch.tensor([[0.225, 1.925], [-1.225, -0.975]]))
    torch.testing.assert_close(after, torch.tensor([[1.225, -0.075], [1.775, 1.025]]))


def test_noloco_moves_the_mean_as_if_all_had_met() -> None:
    generator = torch.Generator().manual_seed(0)
    start, trained, momentum = torch.randn(3, 6, 4, dtype=torch.float64, generator=generator)
    mixed = trained.reshape(3, 2, 4).mean(dim=1).repeat_interleave(2, dim=0)  # pairs
    after, _ = Noloco().step(start, momentum, mixed)
    wanted = start.mean(dim=0) + 0.5 * momentum.mean(dim=0) + 0.7 * (trained - start).mean(dim=0)
    torch.testing.assert_close(after.mean(dim=0), wanted)


@pytest.mark.parametrize("rule", [Diloco, Noloco])
def test_without_momentum_a_whole_step_is_plain_averaging(rule: type) -> None:
    start, mixed = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
    after, _ = rule(learning_rate=1.0, momentum=0.0).step(start, torch.zeros(2), mixed)
    assert torch.equal(after, mixed)


@pytest.mark.parametrize(
    ("momentum", "bound"), [(0.0, 1.0625), (0.3, 1.38125), (0.5, 1.5), (0.7, 1.02), (0.9, 0.38)]
)
def test_the_bound_of_noloco(momentum: float, bound: float) -> None:
    assert noloco_rate_max(momentum) == pytest.approx(bound)
    Noloco(momentum=momentum, learning_rate=bound - 0.001)
    with pytest.raises(ConfigError) as caught:
        Noloco(momentum=momentum, learning_rate=bound + 0.001)
    assert caught.value.field == "outer.learning_rate"
    assert f"less than {bound:.3g}" in caught.value.fix


def growth(rule: str, rate: float, momentum: float) -> float:
    """Return by what second moments of disagreement grow per step, in random pairs."""
    # e' = e - c U e - d m and m' = a m + U e, with U a projection of mean 1/2.
    is_nesterov = rule == "diloco"
    a, c = momentum, rate * (1 + momentum if is_nesterov else 1)
    d = rate * momentum * (momentum if is_nesterov else 1)
    moments = [
        [1 - c + c * c / 2, -2 * d + c * d, d * d],
        [0.5 - c / 2, a - c * a / 2 - d / 2, -d * a],
        [0.5, a, a * a],
    ]
    return float(np.abs(np.linalg.eigvals(np.array(moments))).max())


def growth_in_graph(rule: str, rate: float, momentum: float, graph: nx.Graph) -> float:
    """Return by what the slowest part of disagreement grows per step, in a graph that stays."""
    weights = topologies.mixing.to_dense(
        topologies.mixing.metropolis_hastings(graph), len(graph.nodes)
    )
    turned = 1.0 - np.linalg.eigvalsh(weights)
    found = []
    for u in turned[turned > 1e-9]:
        if rule == "diloco":
            rows = [[1 - rate * u * (1 + momentum), -rate * momentum**2], [u, momentum]]
        else:
            rows = [[1 - rate * u, momentum], [-rate * u, momentum]]
        found.append(np.abs(np.linalg.eigvals(np.array(rows))).max())
    return float(max(found))


GRAPHS = {
    "ring": nx.cycle_graph(8),
    "grid": nx.convert_node_labels_to_integers(nx.grid_2d_graph(4, 4, periodic=True)),
    "complete": nx.complete_graph(8),
    "two groups": nx.complete_bipartite_graph(16, 16),
}


@pytest.mark.parametrize("momentum", [0.0, 0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize(
    ("rule", "bound"), [("diloco", diloco_rate_max), ("noloco", noloco_rate_max)]
)
def test_peers_agree_below_the_bound_alone(rule: str, bound, momentum: float) -> None:
    limit = bound(momentum)
    for share in (0.02, 0.3, 0.7, 0.99):
        assert growth(rule, share * limit, momentum) < 1.0
        for graph in GRAPHS.values():
            assert growth_in_graph(rule, share * limit, momentum, graph) < 1.0
    beyond = [growth_in_graph(rule, 1.01 * limit, momentum, GRAPHS["two groups"])]
    assert max(*beyond, growth(rule, 1.01 * limit, momentum)) > 1.0


def test_what_pairs_allow_would_drive_the_peers_of_a_ring_apart() -> None:
    assert growth("noloco", 1.9, 0.0) < 1.0
    assert growth_in_graph("noloco", 1.9, 0.0, GRAPHS["ring"]) > 1.5
    with pytest.raises(ConfigError):
        Noloco(learning_rate=1.9, momentum=0.0)


def test_a_rate_above_half_of_what_pairs_bear_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    create_outer_step("noloco", learning_rate=0.75, momentum=0.5)
    create_outer_step("noloco", learning_rate=1.0, momentum=0.0)
    assert caplog.messages == []
    create_outer_step("noloco", learning_rate=0.76, momentum=0.5)
    (message,) = caplog.messages
    assert message.startswith("outer.learning_rate = 0.76 is above 0.75, half of what pairs")


def test_disagreement_of_pairs_shrinks_as_it_is_told() -> None:
    assert growth("noloco", 0.7, 0.5) == pytest.approx(0.70, abs=0.005)
    assert growth("diloco", 0.7, 0.9) == pytest.approx(0.92, abs=0.005)


def disagreement(learning_rate: float, momentum: float) -> list[float]:
    """Let 32 peers that do not train meet in random pairs."""
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    vectors = torch.randn(32, 16, generator=generator)
    speeds, norms = torch.zeros(32, 16), []
    for _ in range(60):
        order = list(range(32))
        rng.shuffle(order)
        pairs = torch.tensor(order).reshape(-1, 2)
        mixed = vectors.clone()
        mixed[pairs] = vectors[pairs].mean(dim=1, keepdim=True)
        # As `Noloco` does, which refuses some of these constants.
        speeds = momentum * speeds + learning_rate * (mixed - vectors)
        vectors = vectors + speeds
        norms.append(float((vectors - vectors.mean(dim=0)).norm()))
    return norms


def test_momentum_of_diloco_drives_pairs_of_noloco_apart() -> None:
    calm, wild = disagreement(0.7, 0.5), disagreement(0.7, 0.9)
    assert calm[-1] < 1e-3 * calm[0]
    assert wild[-1] > 10 * wild[0]


@pytest.mark.parametrize("outer", [Diloco(), Noloco()], ids=repr)
def test_the_workbench_steps_towards_what_it_integrated(outer: OuterStep) -> None:
    plain, stepping, neighbor = bench_with(None), bench_with(outer), bench_with(None, "b")
    payload = neighbor.train(training()).payload
    header = make_header(payload)
    state = OuterState(outer, plain.initial)
    for round in range(2):
        for bench in (plain, stepping):
            bench.train(training(round))
            bench.integrate(integration({header.author: header}), lambda _: payload)
        state.trained()
        wanted = state.step(plain.learner.vector())
        assert torch.equal(stepping.learner.vector(), wanted)
        plain.load(stepping.save())


def test_a_peer_that_hears_nobody_steps_too() -> None:
    bench = bench_with(Noloco())
    bench.train(training())
    trained = bench.learner.vector()
    bench.integrate(NOBODY, no_payload)
    wanted = bench.initial + 0.7 * (trained - bench.initial)
    assert torch.equal(bench.learner.vector(), wanted)


def test_what_was_integrated_already_takes_no_step_again() -> None:
    bench, watched = bench_with(Diloco()), bench_with(Diloco())
    for each in (bench, watched):
        each.train(training())
        each.integrate(NOBODY, no_payload)
    watched.integrate(replace(NOBODY, evaluate=True, test=True), no_payload)
    assert watched.save() == bench.save()


def test_a_relay_steps_too() -> None:
    bench = bench_with(Noloco())
    bench.train(training())
    bench.integrate(NOBODY, no_payload)
    before = bench.learner.vector()
    bench.train(replace(training(1), train=False))
    bench.integrate(NOBODY, no_payload)
    moved = before - bench.initial  # the momentum, of which half is kept
    torch.testing.assert_close(bench.learner.vector() - before, 0.5 * moved)


def test_a_save_between_training_and_integration_keeps_that_a_step_is_due() -> None:
    bench, restored = bench_with(Diloco()), bench_with(Diloco())
    bench.train(training())
    restored.load(bench.save())
    for each in (bench, restored):
        each.integrate(NOBODY, no_payload)
    assert restored.digest() == bench.digest()


def test_saving_and_loading_keeps_the_momentum() -> None:
    bench, restored = bench_with(Diloco()), bench_with(Diloco())
    for round in range(2):
        bench.train(training(round))
        bench.integrate(NOBODY, no_payload)
    restored.load(bench.save())
    for each in (bench, restored):
        each.train(training(2))
        each.integrate(NOBODY, no_payload)
    assert restored.digest() == bench.digest()
    assert restored.save() == bench.save()


def test_a_cancelled_integration_keeps_the_momentum() -> None:
    bench = bench_with(Diloco())
    bench.train(training())
    before = bench.save()
    with pytest.raises(JobCancelled):
        bench.integrate(replace(NOBODY, evaluate=True), no_payload, lambda: True)
    assert bench.save() == before


def test_a_save_without_an_outer_step_is_gone_on_from_without_momentum() -> None:
    plain, stepping = bench_with(None), bench_with(Noloco())
    plain.train(training())
    stepping.load(plain.save())
    stepping.integrate(NOBODY, no_payload)
    assert stepping.digest() == plain.digest()
    plain.load(stepping.save())  # and the other way round
    assert stepping.digest() == plain.digest()


def test_a_saved_step_of_another_model_is_named() -> None:
    state = OuterState(Diloco(), torch.zeros(3))
    for broken in ({}, OuterState(Diloco(), torch.zeros(4)).state()):
        with pytest.raises(LocalError, match="the saved state has no outer/start that fits"):
            state.load_state(broken)
    for is_due in (None, torch.ones(2)):
        broken = {name: it for name, it in state.state().items() if name != "outer/is-due"}
        if is_due is not None:
            broken["outer/is-due"] = is_due
        with pytest.raises(LocalError, match="the saved state has no outer/is-due"):
            state.load_state(broken)


def test_steps_do_not_go_together_with_rounded_differences_or_half_mixtures() -> None:
    cases = [
        ({"codec": Sparse()}, "outer.name"),
        ({"integrator": robust.Integrator("mean", gamma=0.5)}, "integration.gamma"),
    ]
    for changes, field in cases:
        parts = {"method": "full", "codec": Float32(), "integrator": MEAN, **changes}
        with pytest.raises(ConfigError) as caught:
            Exchange(**parts, outer=Diloco())  # type: ignore[arg-type]
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("outer", "field"),
    [
        ({"name": "adam"}, "outer.name"),
        ({"name": "none", "momentum": 0.5}, "outer.momentum"),
        ({"name": "diloco", "steps": 1}, "outer.steps"),
        ({"name": "diloco", "momentum": 1.0}, "outer.momentum"),
        ({"name": "diloco", "learning_rate": 0.85}, "outer.learning_rate"),
        ({"name": "noloco", "momentum": 0.9}, "outer.learning_rate"),
        ({"name": "noloco", "learning_rate": 0.0}, "outer.learning_rate"),
    ],
)
def test_a_run_file_with_a_step_that_cannot_be_is_refused(outer: dict, field: str) -> None:
    config = parse({"run": {"task": "digits"}, "outer": outer})
    with pytest.raises(ConfigError) as caught:
        assemble(config, Identity(bytes(32)))
    assert caught.value.field == field


def test_steps_do_not_go_together_with_elections() -> None:
    tables = {
        "method": {"name": "ranks"},
        "codec": {"name": "ballot"},
        "integration": {"rule": "rank-vote"},
        "outer": {"name": "noloco"},
    }
    with pytest.raises(ConfigError, match="ranks elects what to go on from") as caught:
        assemble(parse({"run": {"task": "digits"}, **tables}), Identity(bytes(32)))
    assert caught.value.field == "outer.name"


def test_a_run_file_chooses_the_step() -> None:
    table = {"name": "diloco", "learning_rate": 0.5}
    made = assemble(parse({"run": {"task": "digits"}, "outer": table}), Identity(bytes(32)))
    assert made.bench.exchange.outer == Diloco(learning_rate=0.5)
    assert assemble(parse({}), Identity(bytes(32))).bench.exchange.outer is None
    assert make_bench().exchange.outer is None
    assert create_outer_step("noloco", momentum=0.25) == Noloco(momentum=0.25)


def accuracies(outer: str) -> list[float]:
    """Let 8 peers with rows of few classes each learn in a ring, twice."""
    scenario = {
        "run": {"task": "digits"},
        "training": {
            "steps_per_round": 5,
            "threads": 1,
            "step_rule": {"name": "sgd", "learning_rate": 0.1},
        },
        "share": {"name": "dirichlet", "alpha": 0.5},
        "integration": {"rule": "mean"},
        "outer": {"name": outer},
        "schedule": {"mode": "synchronous", "rounds_max": 12},
        "topology": {"name": "ring", "nodes": 8},
    }
    found = [sim.run(scenario, seed=seed).metrics["mean_accuracy"] for seed in range(2)]
    return [accuracy for accuracy in found if accuracy is not None]


@pytest.mark.slow
@pytest.mark.nightly
def test_after_as_many_rounds_an_outer_step_is_better_than_averaging() -> None:
    plain, noloco, diloco = (accuracies(name) for name in ("none", "noloco", "diloco"))
    # By 0.37 and 0.34, and by 0.06 and 0.07.
    assert all(b > a + 0.2 for a, b in zip(plain, diloco, strict=True))
    assert all(b > a + 0.02 for a, b in zip(plain, noloco, strict=True))
