"""Trying neighbors' rows out on own held-out data: what it finds, and that it leaves no trace."""

import dataclasses
import math

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

import robust
from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.core.effects import StartIntegration
from p2pfed.errors import LocalError
from p2pfed.identity import Identity
from p2pfed.learn.application import ApplicationLearner
from p2pfed.learn.draws import draw_probe
from p2pfed.learn.learner import JobCancelled, Plan, TaskLearner
from p2pfed.learn.probing import held_out_loss, relative_gains
from p2pfed.learn.workbench import Workbench
from p2pfed.updates.method import AdaptedModel
from p2pfed.updates.methods import Full
from tests.learn.peers import (
    MEAN,
    digits_task,
    integration,
    make_bench,
    make_header,
    make_learner,
    make_peer,
    training,
)


def never() -> bool:
    return False


def parabola(vector: Tensor) -> float:
    return float((vector - 1.0).square().sum())


def test_gains_by_hand() -> None:
    # From 0 the loss is 1. A step of 0.2 towards 1 leads to 0.2: 0.64; towards -1 to -0.2: 1.44.
    rows = {"good": torch.tensor([1.0]), "bad": torch.tensor([-1.0]), "own": torch.tensor([0.0])}
    gains = relative_gains(parabola, torch.tensor([0.0]), rows)
    assert gains == pytest.approx({"good": 0.36, "bad": -0.44, "own": 0.0}, abs=1e-6)


def test_what_ruins_the_loss_is_the_worst() -> None:
    rows = {"far": torch.tensor([1e30]), "near": torch.tensor([0.1])}
    gains = relative_gains(parabola, torch.tensor([0.0]), rows)
    assert gains["far"] == -math.inf
    assert gains["near"] > 0.0
    # At the optimum, everything else is much worse, relatively: 0.18 squared of 1e-6.
    gains = relative_gains(parabola, torch.tensor([1.0]), rows)
    assert gains["near"] == pytest.approx(-32400.0, rel=1e-4)


def test_a_negative_loss_tells_helpers_from_others() -> None:
    # From 0 the loss is -4. A step of 0.2 towards 1 leads to 0.64 - 5; towards -1 to 1.44 - 5.
    rows = {"good": torch.tensor([1.0]), "bad": torch.tensor([-1.0]), "own": torch.tensor([0.0])}
    gains = relative_gains(lambda it: parabola(it) - 5.0, torch.tensor([0.0]), rows)
    assert gains == pytest.approx({"good": 0.09, "bad": -0.11, "own": 0.0}, abs=1e-6)


def test_a_loss_of_zero_tells_helpers_from_others() -> None:
    rows = {"good": torch.tensor([1.0]), "bad": torch.tensor([-1.0]), "own": torch.tensor([0.0])}
    gains = relative_gains(lambda it: parabola(it) - 1.0, torch.tensor([0.0]), rows)
    assert gains["good"] > 0.0 > gains["bad"] > -math.inf
    assert gains["own"] == 0.0


def test_what_a_loss_refuses_is_the_worst() -> None:
    def picky(vector: Tensor) -> float:
        if float(vector) < 0.0:
            raise ValueError("no such model")
        return parabola(vector)

    rows = {"odd": torch.tensor([-1.0]), "good": torch.tensor([1.0])}
    gains = relative_gains(picky, torch.tensor([0.0]), rows)
    assert gains == {"odd": -math.inf, "good": pytest.approx(0.36)}
    with pytest.raises(ValueError, match="no such model"):
        relative_gains(picky, torch.tensor([-0.5]), rows)  # its own

    def stopped(vector: Tensor) -> float:
        if float(vector) > 0.0:
            raise JobCancelled("stopped")
        return 1.0

    with pytest.raises(JobCancelled):
        relative_gains(stopped, torch.tensor([0.0]), rows)


def test_a_broken_own_model_judges_nobody() -> None:
    assert relative_gains(lambda _: math.nan, torch.tensor([0.0]), {"a": torch.tensor([1.0])}) == {}


def test_nobody_to_probe_costs_nothing() -> None:
    def asked(vector: Tensor) -> float:
        raise AssertionError(f"{vector} was evaluated")

    assert relative_gains(asked, torch.tensor([0.0]), {}) == {}


def test_probe_rows_are_eight_and_fresh_in_each_round() -> None:
    drawn = [draw_probe(200, secret=1, round=number) for number in range(20)]
    assert all(len(set(rows.tolist())) == 8 for rows in drawn)
    assert len({tuple(rows.tolist()) for rows in drawn}) == 20
    assert torch.equal(drawn[3], draw_probe(200, secret=1, round=3))
    assert not torch.equal(drawn[3], draw_probe(200, secret=2, round=3))
    assert sorted(draw_probe(5, secret=1, round=0).tolist()) == [0, 1, 2, 3, 4]


def test_probe_rows_follow_from_the_private_key_alone() -> None:
    config = parse({"run": {"task": "digits", "seed": 3}, "integration": {"rule": "mean"}})
    losses = []
    for seed in (bytes(32), bytes(32), bytes(31) + b"\1"):
        learner = assemble(config, Identity(seed)).bench.learner
        assert isinstance(learner, TaskLearner)
        rows = learner.task.rows("validation")
        losses.append([learner.sample_loss(number, should_stop=never) for number in range(3)])
        secret = Identity(seed).secret_number("probe")
        drawn = rows.batch(draw_probe(len(rows), secret=secret, round=2))
        with torch.no_grad():
            outputs = learner.adapted.model(drawn.inputs)
            assert losses[-1][2] == pytest.approx(float(learner.task.loss(outputs, drawn.labels)))
    assert losses[0] == losses[1] != losses[2]


def test_without_a_secret_all_validation_rows_are_probed() -> None:
    learner = TaskLearner(digits_task(), Full(), plan=Plan(), seed=1, peer="a")
    everything = learner.evaluate("validation", should_stop=never)[1]
    assert [learner.sample_loss(number, should_stop=never) for number in range(2)] == [
        everything
    ] * 2


def test_a_probe_reads_validation_rows_alone() -> None:
    learner = make_learner()
    task = learner.task
    nothing = task.rows("train").subset(torch.tensor([], dtype=torch.int64))
    blind = make_learner(task=dataclasses.replace(task, validation=nothing))
    with pytest.raises(LocalError, match="validation rows"):
        blind.sample_loss(0, should_stop=never)
    held_out = task.rows("validation")
    found = learner.sample_loss(4, should_stop=never)
    rows = held_out.batch(draw_probe(len(held_out), secret=5, round=4))
    with torch.no_grad():
        outputs = learner.adapted.model(rows.inputs)
        assert found == pytest.approx(float(task.loss(outputs, rows.labels)))
    with pytest.raises(JobCancelled):
        learner.sample_loss(0, should_stop=lambda: True)


class Plain:
    """A learner of one's own, that cannot sample."""

    def __init__(self, learner: TaskLearner) -> None:
        self.vector, self.load_vector = learner.vector, learner.load_vector
        self.evaluate = learner.evaluate


def test_who_cannot_sample_is_evaluated_on_everything() -> None:
    learner = make_learner()
    loss = held_out_loss(Plain(learner), 0, should_stop=never)  # type: ignore[arg-type]
    own = learner.vector()
    assert loss(own) == learner.evaluate("validation", should_stop=never)[1]
    assert loss(own * 2.0) != loss(own)
    assert torch.equal(learner.vector(), own)


def test_an_application_has_to_say_its_loss() -> None:
    adapted: AdaptedModel = make_learner().adapted
    learner = ApplicationLearner(adapted, evaluate=lambda: (0.5, 0.75), example_count=1)
    assert learner.sample_loss(0, should_stop=never) == 0.75
    for result in (0.5, None, (0.5,), (0.5, None), (0.5, "low")):
        silent = ApplicationLearner(adapted, evaluate=lambda it=result: it, example_count=1)
        assert math.isnan(silent.sample_loss(0, should_stop=never))
    absent = ApplicationLearner(adapted, evaluate=None, example_count=1)
    with pytest.raises(LocalError, match="give join an evaluate function"):
        absent.sample_loss(0, should_stop=never)


def test_a_learner_that_says_a_score_alone_has_no_loss() -> None:
    plain = Plain(make_learner())
    plain.evaluate = lambda *_, **__: 0.5  # type: ignore[assignment, return-value]
    loss = held_out_loss(plain, 0, should_stop=never)  # type: ignore[arg-type]
    assert math.isnan(loss(plain.vector()))


# In an integration -----------------------------------------------------------------------------


def probed(
    bench: Workbench, scales: dict[int, float]
) -> tuple[StartIntegration, dict[bytes, bytes]]:
    """Return the integration of neighbors that publish so many times what they learned."""
    headers, payloads = {}, {}
    for index, scale in scales.items():
        other = make_bench(f"n{index}", before_publish=lambda it, scale=scale: scale * it)
        for number in range(4):
            payload = other.train(training(number)).payload
        header = make_header(payload, author=index)
        headers[header.author] = header
        payloads[header.payload_hash] = payload
    for number in range(4):
        bench.train(training(number))
    effect = integration(headers)
    return replace(effect, rows=tuple(replace(it, is_probed=True) for it in effect.rows)), payloads


def test_probing_finds_the_liar_and_changes_nothing_else() -> None:
    bench, control = make_bench(), make_bench()
    effect, payloads = probed(bench, {1: 1.0, 2: 1.0, 3: -2.0})
    probed(control, {})
    gains = {it.peer: it.gain for it in bench.integrate(effect, payloads.__getitem__).verdicts}
    assert gains[make_peer(3)] < -0.1
    assert min(gains[make_peer(1)], gains[make_peer(2)]) > -0.05
    unprobed = replace(effect, rows=tuple(replace(it, is_probed=False) for it in effect.rows))
    outcome = control.integrate(unprobed, payloads.__getitem__)
    assert all(verdict.gain is None for verdict in outcome.verdicts)
    assert bench.digest() == control.digest()


def test_rows_that_are_no_models_are_not_probed() -> None:
    bench = make_bench(integrator=robust.Integrator("mean", norm_cap_ratio=3.0))
    effect, payloads = probed(bench, {1: 1.0, 2: 1.0, 3: -100.0})
    found = {it.peer: it for it in bench.integrate(effect, payloads.__getitem__).verdicts}
    assert found[make_peer(3)].reason == "norm-cap"
    assert found[make_peer(3)].gain is None
    assert found[make_peer(1)].gain is not None


def test_who_has_no_mass_is_probed_all_the_same() -> None:
    bench = make_bench(integrator=MEAN)
    effect, payloads = probed(bench, {1: 1.0, 2: 1.0})
    first, second = effect.rows
    effect = replace(effect, rows=(replace(first, mass_max=0.0), replace(second, is_probed=False)))
    one, two = bench.integrate(effect, payloads.__getitem__).verdicts
    assert (one.reason, one.weight) == ("no-mass", 0.0)
    assert one.gain is not None
    assert two.gain is None


def test_without_a_loss_nobody_is_judged_and_it_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench()
    effect, payloads = probed(bench, {1: 1.0, 2: 1.0, 3: -2.0})
    monkeypatch.setattr(bench.learner, "sample_loss", lambda *_, **__: math.nan)
    for _ in range(3):
        outcome = bench.integrate(effect, payloads.__getitem__)
        assert [it.gain for it in outcome.verdicts] == [None] * 3
    assert [it.message for it in caplog.records if "judges nobody" in it.message] == [
        "the loss gate judges nobody: the own held-out loss is not a number; if evaluate is a "
        "function of yours, let it return (score, loss)"
    ]


def test_a_probe_that_is_stopped_leaves_no_trace() -> None:
    bench = make_bench()
    effect, payloads = probed(bench, {1: 1.0, 2: 1.0})
    before = bench.save()
    for questions in range(3):
        answers = iter([False] * questions + [True])
        with pytest.raises(JobCancelled):
            bench.integrate(effect, payloads.__getitem__, lambda answers=answers: next(answers))
        assert bench.save() == before
