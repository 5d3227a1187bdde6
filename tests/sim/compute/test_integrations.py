"""Integrations that are computed together, and handed over one by one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from msgspec import structs
from torch import Tensor

from p2pfed.core.effects import IntegrationRow, StartIntegration, StartTraining
from p2pfed.core.events import Evaluation
from p2pfed.learn.jobs import IntegrationOutcome
from p2pfed.learn.workbench import Workbench
from p2pfed.wire.hashes import content_hash
from sim.compute.batched import Batched
from sim.compute.calculator import Calculation
from sim.compute.integrations import Integration
from tests.sim.by_hand import make_header
from tests.sim.compute.conftest import MakeBenches

Change = Callable[[IntegrationRow], IntegrationRow]


class Exchange:
    """Trained benches, their payloads, and the jobs that integrate these.

    Args:
        benches: Of one run.
        evaluate: Whether jobs ask for evaluations on validation data.
        test: Whether on test data, too.
        change: Of the rows of all jobs.
    """

    def __init__(
        self,
        benches: list[Workbench],
        *,
        evaluate: bool = False,
        test: bool = False,
        change: Change = lambda row: row,
    ) -> None:
        self.benches = benches
        order = StartTraining(job=1, round=0, train=True, degree=3)
        payloads = [bench.train(order).payload for bench in benches]
        self._payloads = {content_hash(it): it for it in payloads}
        rows = [
            change(row_of(bench, peer, it))
            for peer, (bench, it) in enumerate(zip(benches, payloads, strict=True))
        ]
        self.effects = [
            StartIntegration(
                job=2,
                round=0,
                rows=tuple(row for other, row in enumerate(rows) if other != peer),
                degree=3,
                evaluate=evaluate,
                test=test,
            )
            for peer in range(len(benches))
        ]

    def load(self, key: bytes) -> bytes:
        return self._payloads[key]

    def begin_all(self) -> list[Calculation[IntegrationOutcome]]:
        calculator = Batched()
        return [
            calculator.integration(bench, effect, self.load)
            for bench, effect in zip(self.benches, self.effects, strict=True)
        ]

    def integrate_alone(self) -> list[IntegrationOutcome]:
        return [
            bench.integrate(effect, self.load)
            for bench, effect in zip(self.benches, self.effects, strict=True)
        ]

    def vectors(self) -> Tensor:
        return torch.stack([bench.learner.vector() for bench in self.benches])


def row_of(bench: Workbench, peer: int, payload: bytes) -> IntegrationRow:
    header = make_header(bytes([peer]) * 32, 0, payload)
    named = structs.replace(header, method=bench.exchange.method, codec=bench.exchange.codec.name)
    return IntegrationRow(peer=named.author, header=named, staleness=0)


def are_together(started: list[Calculation[Any]]) -> bool:
    """Finish the first, and return whether results of all others are there before they are due."""
    if not all(isinstance(it, Integration) for it in started):
        return False
    started[0].finish()
    return all(it.others.take(it) is not None for it in started[1:] if isinstance(it, Integration))


@pytest.mark.parametrize(("evaluate", "test"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("rule", ["mean", "nnm+trimmed-mean", "krum"])
def test_models_and_outcomes_are_those_of_each_alone(
    make_benches: MakeBenches, rule: str, evaluate: bool, test: bool
) -> None:
    together, alone = (
        Exchange(make_benches(integration={"rule": rule}), evaluate=evaluate, test=test)
        for _ in range(2)
    )
    outcomes = [each.finish() for each in together.begin_all()]
    for outcome, expected in zip(outcomes, alone.integrate_alone(), strict=True):
        assert outcome.own_weight == pytest.approx(expected.own_weight)
        for found, other in zip(outcome.verdicts, expected.verdicts, strict=True):
            assert found.weight == pytest.approx(other.weight)
            assert structs.replace(found, weight=0.0) == structs.replace(other, weight=0.0)
        assert numbers(outcome.evaluation) == pytest.approx(numbers(expected.evaluation), rel=1e-5)
    torch.testing.assert_close(together.vectors(), alone.vectors(), rtol=1e-5, atol=1e-6)


def numbers(evaluation: Evaluation | None) -> list[float]:
    if evaluation is None:
        return []
    found = [evaluation.score, evaluation.loss, evaluation.test_score]
    return [-1.0 if it is None else it for it in found]


def test_all_that_are_alike_are_computed_when_the_first_is_due(make_benches: MakeBenches) -> None:
    exchange = Exchange(make_benches())
    before = exchange.vectors()
    assert are_together(exchange.begin_all())
    assert torch.equal(exchange.vectors()[1:], before[1:])
    assert not torch.equal(exchange.vectors()[0], before[0])


def test_what_each_integrates_alone_is_evaluated_together(make_benches: MakeBenches) -> None:
    exchange = Exchange(make_benches(integration={"rule": "krum"}), evaluate=True)
    before = exchange.vectors()
    assert are_together(exchange.begin_all())
    assert torch.equal(exchange.vectors()[1:], before[1:])


def test_a_canceled_one_changes_nothing(make_benches: MakeBenches) -> None:
    exchange = Exchange(make_benches())
    before = exchange.vectors()
    first, second, third, _ = exchange.begin_all()
    first.finish()
    second.drop()
    third.finish()
    assert torch.equal(exchange.vectors()[[1, 3]], before[[1, 3]])


def test_whoever_has_a_row_to_reject_integrates_alone(make_benches: MakeBenches) -> None:
    benches, alone = (make_benches(integration={"rule": "mean"}) for _ in range(2))
    for liar in (benches[0], alone[0]):
        liar.exchange = replace(liar.exchange, before_publish=lambda difference: 10.0 * difference)
    exchange, expected = Exchange(benches), Exchange(alone)
    outcomes = [each.finish() for each in exchange.begin_all()]
    reasons = [{it.reason for it in each.verdicts} for each in outcomes]
    assert reasons == [{""}, *[{"", "norm-cap"}] * 3]
    expected.integrate_alone()
    assert torch.equal(exchange.vectors()[1:], expected.vectors()[1:])


@pytest.mark.parametrize(
    "change",
    [
        lambda row: structs.replace(row, mass_max=0.1),
        lambda row: structs.replace(row, is_probed=True),
        lambda row: structs.replace(row, header=structs.replace(row.header, method="lora")),
    ],
    ids=["bounded", "probed", "refused"],
)
def test_rows_with_more_to_do_are_integrated_alone(
    make_benches: MakeBenches, change: Change
) -> None:
    assert not are_together(Exchange(make_benches(), change=change).begin_all())


@pytest.mark.parametrize(
    "tables",
    [
        {"integration": {"rule": "krum"}},
        {"integration": {"gamma": 0.5}},
        {"integration": {"prioritizer": {"enabled": True}}},
        {"outer": {"name": "noloco"}},
        {"reputation": {"enabled": True}},
        {"codec": {"name": "int4"}},
        {"method": {"name": "lora", "rank": 2, "targets": ["0"], "modules": ["3"]}},
    ],
    ids=lambda it: next(iter(it)),
)
def test_integrations_that_are_more_than_their_rule_are_done_alone(
    make_benches: MakeBenches, tables: dict[str, Any]
) -> None:
    if "codec" in tables:  # whose updates are differences
        bench = make_benches(**tables)[0]
        assert not bench.is_plain
        return
    assert not are_together(Exchange(make_benches(**tables)).begin_all())
