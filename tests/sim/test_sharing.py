"""What simulated peers have in common is there once: data, and frozen parameters."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import sim
from p2pfed.config.learning import peer_task
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event, TrainingFinished
from p2pfed.errors import ConfigError
from p2pfed.learn.decoded import DecodeCache
from p2pfed.learn.digits import digits
from p2pfed.learn.partition import Dirichlet, Iid
from p2pfed.learn.task import Task
from p2pfed.learn.workbench import Workbench
from sim.host import Host
from sim.scenario import load_scenario
from sim.sharing import ChosenRows, JoinedRows, SharedRows, share_frozen
from sim.watching import Watcher

SCENARIO = {
    "run": {"task": "tests.sim.test_sharing:counted_digits"},
    "method": {"name": "head", "modules": ["2"]},
    "training": {"steps_per_round": 1, "threads": 1},
    "schedule": {"rounds_max": 1},
    "topology": {"name": "line", "nodes": 3},
}
loads: list[int] = []


def counted_digits() -> Task:
    loads.append(1)
    return digits()


class Trained(Watcher):
    """Keeps the models of all peers that trained."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []
        self.benches: list[Workbench] = []

    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        del effects
        if isinstance(event, TrainingFinished):
            self.models.append(host.bench.learner.adapted.model)
            self.benches.append(host.bench)


def digits_with_one_model() -> Task:
    model = digits().create_model()
    return replace(digits(), create_model=lambda: model)


@pytest.mark.parametrize("fidelity", ["messages", "rounds"])
def test_a_task_that_makes_only_one_model_is_refused(fidelity: str) -> None:
    scenario = {
        "run": {"task": "tests.sim.test_sharing:digits_with_one_model"},
        "fidelity": fidelity,
        "schedule": {"mode": "synchronous", "rounds_max": 1},
        "topology": {"name": "line", "nodes": 2},
        "compute": {"jobs": "sequential"},
    }
    with pytest.raises(
        ConfigError, match=r"task\.create_model = 'Sequential': it returned the same"
    ):
        sim.run(scenario)


@pytest.mark.slow
def test_peers_of_a_simulation_share_data_and_frozen_parameters() -> None:
    loads.clear()
    watcher = Trained()
    sim.run(SCENARIO, watchers=[watcher])
    assert len(loads) == 1
    frozen = {dict(model.named_parameters())["0.weight"].data_ptr() for model in watcher.models}
    trained = {dict(model.named_parameters())["2.weight"].data_ptr() for model in watcher.models}
    assert (len(watcher.models), len(frozen), len(trained)) == (3, 1, 3)


@pytest.mark.slow
def test_peers_with_adapters_share_the_model_below_them() -> None:
    watcher = Trained()
    lora = {"name": "lora", "rank": 2, "targets": ["0"], "modules": ["2"]}
    topology = {"name": "complete", "nodes": 4}
    sim.run({**SCENARIO, "method": lora, "topology": topology}, watchers=[watcher])
    places: dict[str, set[int]] = {}
    for model in watcher.models:
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                places.setdefault(name, set()).add(parameter.data_ptr())
    assert len(watcher.models) == 4
    assert {len(found) for found in places.values()} == {1}


def make_model(value: float) -> nn.Linear:
    model = nn.Linear(2, 2)
    model.requires_grad_(False)
    model.weight.fill_(value)
    model.bias.fill_(value)
    return model


def test_equal_frozen_parameters_become_one() -> None:
    model, original = make_model(1.0), make_model(1.0)
    share_frozen(model, original)
    assert model.weight.data_ptr() == original.weight.data_ptr()


def test_what_trains_or_differs_stays_apart() -> None:
    model, original = make_model(1.0), make_model(1.0)
    model.weight.requires_grad_(True)
    original.bias.fill_(2.0)
    share_frozen(model, original)
    assert model.weight.data_ptr() != original.weight.data_ptr()
    assert model.bias.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("share", [{}, {"name": "dirichlet", "alpha": 0.5}], ids=["iid", "skewed"])
@pytest.mark.parametrize("nodes", [1, 3])
def test_each_peer_has_the_rows_that_a_real_one_would_load(
    share: dict[str, object], nodes: int
) -> None:
    topology = {"name": "complete", "nodes": nodes}
    scenario = load_scenario({**SCENARIO, "share": share, "topology": topology})
    pool = digits()
    pool = replace(pool, groups=torch.arange(len(pool.rows("train"))))
    rows = SharedRows(pool)
    for index in range(nodes):
        config = scenario.run_config(index, seed=1)
        found, expected = rows.task_of(config), peer_task(config, pool=pool)
        own, loaded = found.rows("train"), expected.rows("train")
        assert torch.equal(own.labels, loaded.labels)
        assert found.groups is not None
        assert expected.groups is not None
        assert torch.equal(found.groups, expected.groups)
        chosen = torch.arange(len(own) - 1, -1, -2)
        for batch in (own.batch(chosen), own.subset(chosen).batch(torch.arange(len(chosen)))):
            assert torch.equal(batch.inputs, loaded.batch(chosen).inputs)
            assert torch.equal(batch.labels, loaded.batch(chosen).labels)


def test_joined_rows_are_those_of_each_peer() -> None:
    pool = digits().rows("train")
    rows = [ChosenRows(pool, torch.tensor(chosen)) for chosen in ([5, 3], [7, 1, 9], [0])]
    indices = [torch.tensor(it) for it in ([1, 0, 1], [2, 2, 0], [0, 0, 0])]
    joined = JoinedRows.of(rows)
    assert joined is not None
    found = joined.batch(indices)
    for number, (own, chosen) in enumerate(zip(rows, indices, strict=True)):
        batch = own.batch(chosen)
        assert torch.equal(found.inputs[number], batch.inputs)
        assert torch.equal(found.labels[number], batch.labels)


def test_rows_of_other_kinds_or_pools_are_not_joined() -> None:
    pool = digits().rows("train")
    own = ChosenRows(pool, torch.arange(2))
    assert JoinedRows.of([own, pool]) is None
    assert JoinedRows.of([own, ChosenRows(pool.subset(torch.arange(9)), torch.arange(2))]) is None
    # What a data set returns may depend on the order in which it is asked.
    assert JoinedRows.of([ChosenRows(own, torch.arange(2))]) is None


def test_rows_are_split_once_for_each_way_to_split(monkeypatch: pytest.MonkeyPatch) -> None:
    splits: list[str] = []
    for kind in (Iid, Dirichlet):
        real = kind._share
        monkeypatch.setattr(
            kind, "_share", lambda *given, real=real: splits.append("") or real(*given)
        )
    scenario = load_scenario(
        {**SCENARIO, "variants": [{"peers": [2], "fields": {"share.name": "dirichlet"}}]}
    )
    rows = SharedRows(digits())
    for index in (0, 1, 2, 0, 2):
        rows.task_of(scenario.run_config(index, seed=1))
    assert len(splits) == 2


@pytest.mark.slow
def test_payloads_that_nobody_holds_are_forgotten_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[DecodeCache] = []
    monkeypatch.setattr(
        "sim.building.DecodeCache", lambda *given: caches.append(DecodeCache(*given)) or caches[-1]
    )
    scenario = {**SCENARIO, "schedule": {"rounds_max": 8}}
    sim.run(scenario)
    # Of three peers: two updates that neighbors may want, where each of them made eight.
    assert 0 < len(caches[0]) <= 3 * 2


@pytest.mark.slow
def test_all_peers_have_one_initial_vector() -> None:
    watcher = Trained()
    sim.run(SCENARIO, watchers=[watcher])
    for found in (
        [bench.initial for bench in watcher.benches],
        [bench.exchange.integrator.evaluate.initial for bench in watcher.benches],
    ):
        assert (len(found), len({vector.data_ptr() for vector in found})) == (3, 1)


@pytest.mark.slow
def test_gradients_are_dropped_when_a_training_is_over() -> None:
    watcher = Trained()
    sim.run(SCENARIO, watchers=[watcher])
    gradients = [it.grad for model in watcher.models for it in model.parameters()]
    assert gradients == [None] * len(gradients)
