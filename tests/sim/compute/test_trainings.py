"""Trainings that are computed together, and handed over one by one."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from msgspec import structs
from torch import Tensor

from p2pfed.core.effects import StartTraining
from p2pfed.errors import LocalError
from p2pfed.learn.examples import Examples
from p2pfed.learn.learner import TaskLearner
from p2pfed.learn.task import cross_entropy
from p2pfed.learn.workbench import Workbench
from sim.compute.batched import Batched
from sim.compute.calculator import Calculation, Sequential
from sim.compute.stacked import Family
from sim.compute.trainings import Training
from tests.sim.compute.conftest import MakeBenches

# Of the length of what a round changes: batched products add up in another order.
TOLERANCE = 1e-5


def order(round: int = 0) -> StartTraining:
    return StartTraining(job=1, round=round, train=True, degree=3)


def begin_all(benches: list[Workbench], round: int = 0) -> list[Calculation[Any]]:
    calculator = Batched()
    return [calculator.training(bench, order(round)) for bench in benches]


def vectors(benches: list[Workbench]) -> Tensor:
    return torch.stack([bench.learner.vector() for bench in benches])


def assert_near(found: Tensor, expected: Tensor, before: Tensor) -> None:
    errors = torch.linalg.vector_norm(found - expected, dim=1)
    assert torch.all(errors < TOLERANCE * torch.linalg.vector_norm(expected - before, dim=1))


def read_a_value(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return a loss that depends on a value, which a stack does not have."""
    found = cross_entropy(outputs, labels)
    return found if float(found.detach()) > 0.0 else found * 2.0


def are_together(started: list[Calculation[Any]]) -> list[bool]:
    """Finish all, and return of which the results were there before they were due."""
    started[0].finish()
    found = []
    for each in started[1:]:
        assert isinstance(each, Training)
        found.append(each.others.take(each) is not None)
    return found


@pytest.mark.parametrize(
    "step_rule",
    [
        {"name": "sgd", "learning_rate": 0.1},
        {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        {"name": "adamw", "learning_rate": 0.01},
    ],
    ids=["sgd", "momentum", "adamw"],
)
def test_rounds_and_payloads_are_those_of_each_alone(
    make_benches: MakeBenches, step_rule: dict[str, Any]
) -> None:
    together, alone = (make_benches(training={"step_rule": step_rule}) for _ in range(2))
    before = vectors(alone)
    for round in range(3):
        outcomes = [each.finish() for each in begin_all(together, round)]
        expected = [Sequential().training(bench, order(round)).finish() for bench in alone]
        for outcome, other in zip(outcomes, expected, strict=True):
            assert outcome.report.loss == pytest.approx(other.report.loss, rel=1e-4)
            assert replace(outcome.report, loss=None) == replace(other.report, loss=None)
            assert len(outcome.payload) == len(other.payload)
    assert_near(vectors(together), vectors(alone), before)
    assert [b.learner.state().keys() for b in together] == [b.learner.state().keys() for b in alone]


def test_nothing_changes_before_a_job_is_due(make_benches: MakeBenches) -> None:
    benches = make_benches()
    before = vectors(benches)
    first, *others = begin_all(benches)
    first.finish()
    assert not torch.equal(benches[0].learner.vector(), before[0])
    assert torch.equal(vectors(benches)[1:], before[1:])
    others[0].drop()  # canceled, or crashed
    others[1].finish()
    assert torch.equal(vectors(benches)[[1, 3]], before[[1, 3]])
    assert not torch.equal(benches[2].learner.vector(), before[2])


def test_what_optimizers_know_changes_only_when_a_job_is_due(make_benches: MakeBenches) -> None:
    benches = make_benches(training={"step_rule": {"name": "adamw"}})
    for each in begin_all(benches):
        each.finish()
    before = [bench.learner.state() for bench in benches]
    begin_all(benches, 1)[1].finish()
    for number in (0, 2, 3):
        after = benches[number].learner.state()
        assert all(torch.equal(after[key], value) for key, value in before[number].items())


def test_all_that_are_alike_are_computed_when_the_first_is_due(make_benches: MakeBenches) -> None:
    assert are_together(begin_all(make_benches())) == [True, True, True]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_nothing_of_a_stack_waits_for_a_garbage_collection(
    make_benches: MakeBenches, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stacked: list[weakref.ref[Tensor]] = []
    restore = Family._restore

    def watched(*arguments: Any) -> Any:
        stack, optimizer = restore(*arguments)
        stacked.extend(map(weakref.ref, stack.values()))
        return stack, optimizer

    monkeypatch.setattr(Family, "_restore", watched)
    started = begin_all(make_benches(training={"step_rule": {"name": name}}))
    gc.disable()
    try:
        started[0].finish()
        assert len(stacked) == 4
        assert not any(it() is not None for it in stacked)
    finally:
        gc.enable()


@pytest.mark.parametrize("size", ["512_kib", "1_mib"])
def test_models_up_to_4_mib_are_computed_together(make_benches: MakeBenches, size: str) -> None:
    benches = make_benches(run={"task": f"tests.sim.compute.conftest:blobs_above_{size}"})
    assert are_together(begin_all(benches)) == [True, True, True]


def test_larger_models_are_trained_one_by_one(make_benches: MakeBenches) -> None:
    benches = make_benches(run={"task": "tests.sim.compute.conftest:blobs_above_4_mib"})
    assert not any(isinstance(each, Training) for each in begin_all(benches))


def test_peers_in_other_rounds_of_adam_are_computed_apart(make_benches: MakeBenches) -> None:
    benches = make_benches(training={"step_rule": {"name": "adamw"}})
    benches[0].train(order(0))
    benches[3].train(order(0))
    benches[3].train(order(1))
    assert are_together(begin_all(benches, 1)) == [True, True, False]


def test_one_that_diverges_fails_alone(make_benches: MakeBenches) -> None:
    benches = make_benches()
    learner = benches[1].learner
    rows = learner.task.rows("train")
    wild = Examples(torch.full((len(rows), 12), float("inf")), rows.labels)
    learner.train_rows = wild
    before = vectors(benches)
    first, second, *others = begin_all(benches)
    first.finish()
    with pytest.raises(LocalError, match="diverged"):
        second.finish()
    for each in others:
        each.finish()
    assert torch.equal(vectors(benches)[1], before[1])
    assert not (vectors(benches)[[0, 2, 3]] == before[[0, 2, 3]]).all(dim=1).any()


def test_what_cannot_be_mapped_is_trained_one_by_one(make_benches: MakeBenches) -> None:
    benches, alone = make_benches(), make_benches()
    for bench in [*benches, *alone]:
        bench.learner.task = replace(bench.learner.task, loss=read_a_value)
    first, second, *others = begin_all(benches)
    first.finish()
    second.finish()
    assert isinstance(first, Training)
    assert not first.others._started  # nobody asks for all of them again
    for each in others:
        each.finish()
    for bench in alone:
        bench.train(order())
    assert torch.equal(vectors(benches), vectors(alone))


@pytest.mark.parametrize(
    "tables",
    [
        {"privacy": {"enabled": True, "mechanism": "per-release", "noise_multiplier": 4.0}},
        {"method": {"name": "seeds", "direction_count": 64}, "codec": {"name": "operation"}},
    ],
    ids=["privacy", "ledger"],
)
def test_who_has_to_see_every_step_trains_alone(
    make_benches: MakeBenches, tables: dict[str, Any]
) -> None:
    benches = make_benches(**tables)
    assert not any(isinstance(each, Training) for each in begin_all(benches))


def test_a_publication_without_steps_is_no_training(make_benches: MakeBenches) -> None:
    effect = structs.replace(order(), train=False)
    assert not isinstance(Batched().training(make_benches()[0], effect), Training)


HEAD = {"name": "head", "modules": ["3"]}


def with_one_of_another_base(benches: list[Workbench]) -> list[Workbench]:
    """Let the second peer have another first layer, which does not train."""
    learner = benches[1].learner
    assert isinstance(learner, TaskLearner)
    first_layer = next(learner.adapted.model.parameters())
    assert not first_layer.requires_grad
    with torch.no_grad():
        first_layer.mul_(-1.0)
    return benches


def test_whose_frozen_weights_differ_trains_as_alone(make_benches: MakeBenches) -> None:
    together, alone = (with_one_of_another_base(make_benches(method=HEAD)) for _ in range(2))
    before = vectors(alone)
    for each in begin_all(together):
        each.finish()
    for bench in alone:
        Sequential().training(bench, order()).finish()
    assert_near(vectors(together), vectors(alone), before)


def test_others_than_whose_frozen_weights_differ_train_together(make_benches: MakeBenches) -> None:
    benches = with_one_of_another_base(make_benches(method=HEAD))
    assert are_together(begin_all(benches)) == [False, True, True]
