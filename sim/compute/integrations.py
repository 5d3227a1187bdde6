"""Integrations of many peers at once, and what their models are worth."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, final

import torch

from p2pfed.core.effects import StartIntegration
from p2pfed.core.events import Evaluation
from p2pfed.learn.intake import Mixture, PlainRows
from p2pfed.learn.jobs import IntegrationOutcome, LoadPayload
from p2pfed.learn.learner import Learner, TaskLearner
from p2pfed.learn.task import Task
from p2pfed.learn.workbench import Workbench
from robust.integrator import Integrator
from sim.compute.crowd_rule import BLOCK_BYTES, CrowdRule, can_integrate
from sim.compute.gathering import Gathering
from sim.compute.stacked import Families, Family

_TOGETHER_MIN: Final = 2


@final
@dataclass(kw_only=True, eq=False)
class Integration:
    """An integration that has started.

    Attributes:
        bench: Whose.
        rule: What the bench integrates with.
        family: The learner's; None where none is needed.
        effect: The job.
        load_payload: Content hash to payload.
        others: What it may be computed with.
    """

    bench: Workbench
    rule: CrowdRule
    family: Family | None
    effect: StartIntegration
    load_payload: LoadPayload
    others: "Gathering[Integration, Mixture]"

    @property
    def task(self) -> Task:
        """What its learner evaluates on."""
        assert isinstance(self.bench.learner, TaskLearner)
        return self.bench.learner.task

    @cached_property
    def shape(self) -> Hashable:
        """What is equal where rows can be integrated at once."""
        kind = (self.rule, id(self.bench.initial), len(self.effect.rows))
        if self.family is None:
            return kind
        rows = (id(self.task.validation), id(self.task.test))
        return kind, self.family, rows, self.effect.test

    def rows(self) -> PlainRows | None:
        """Return its rows; nothing changes the learner before it is due."""
        return self.bench.plain_rows(self.effect, self.load_payload)

    def finish(self) -> IntegrationOutcome:
        """Hand over what was found, or do it now.

        Raises:
            LocalError: As from `Workbench.integrate`.
        """
        mixture = self.others.take(self)
        if mixture is None:
            return self.bench.integrate(self.effect, self.load_payload)
        return self.bench.integrate_as(self.effect, mixture)

    def drop(self) -> None:
        """Forget it; the learner has not changed."""
        self.others.drop(self)


@final
class Integrations:
    """All integrations of a world that have started.

    Args:
        families: Of its learners.
    """

    def __init__(self, families: Families) -> None:
        self._families = families
        self._started: Gathering[Integration, Mixture] = Gathering(self._compute)

    def begin(
        self, bench: Workbench, effect: StartIntegration, load_payload: LoadPayload
    ) -> Integration | None:
        """Start an integration; None if it cannot be done with others."""
        rule = _crowd_rule(bench.exchange.integrator)
        if rule is None or not bench.is_plain or not effect.rows:
            return None
        family, learner = None, bench.learner
        if effect.evaluate or effect.test:
            family = self._families.find(learner)
            if family is None or not family.is_scored or not _has_rows(learner, effect):
                return None
        integration = Integration(
            bench=bench,
            rule=rule,
            family=family,
            effect=effect,
            load_payload=load_payload,
            others=self._started,
        )
        self._started.add(integration)
        return integration

    def _compute(self, started: Sequence[Integration]) -> list[tuple[Integration, Mixture]]:
        alike: dict[Hashable, list[Integration]] = {}
        for integration in started:
            alike.setdefault(integration.shape, []).append(integration)
        return [
            found
            for group in alike.values()
            if len(group) >= _TOGETHER_MIN
            for found in self._integrate(group)
        ]

    def _integrate(self, group: Sequence[Integration]) -> list[tuple[Integration, Mixture]]:
        size = len(group[0].bench.initial)
        block = max(BLOCK_BYTES // ((len(group[0].effect.rows) + 1) * size * 4), 1)
        found: list[tuple[Integration, Mixture]] = []
        for first in range(0, len(group), block):
            read = [(it, it.rows()) for it in group[first : first + block]]
            mixed = _mix([(it, rows) for it, rows in read if rows is not None])
            known = {it for it, _ in mixed}
            for integration, _ in read:
                if integration not in known:  # the integrator has something to say about it
                    self._started.drop(integration)
            found += mixed
        return self._evaluated(found)

    def _evaluated(
        self, mixed: list[tuple[Integration, Mixture]]
    ) -> list[tuple[Integration, Mixture]]:
        """Return mixtures with what their jobs ask to know of them."""
        if not mixed or mixed[0][0].family is None:
            return mixed
        family, effect = mixed[0][0].family, mixed[0][0].effect
        vectors, task = [mixture.vector for _, mixture in mixed], mixed[0][0].task
        tests: Sequence[tuple[float, float] | None] = [None] * len(mixed)
        try:
            scores = family.evaluate(vectors, task.rows("validation"))
            if effect.test:
                tests = family.evaluate(vectors, task.rows("test"))
        except Exception:  # whatever a model, a loss or a metric makes of a stack
            family.is_scored = False
            for integration, _ in mixed:
                self._started.drop(integration)
            return []
        return [
            (it, replace(mixture, evaluation=_evaluation(scored, tested)))
            for (it, mixture), scored, tested in zip(mixed, scores, tests, strict=True)
        ]


def _evaluation(scored: tuple[float, float], tested: tuple[float, float] | None) -> Evaluation:
    score, loss = scored
    return Evaluation(score=score, loss=loss, test_score=None if tested is None else tested[0])


def _has_rows(learner: Learner, effect: StartIntegration) -> bool:
    splits = ("validation", "test") if effect.test else ("validation",)
    return isinstance(learner, TaskLearner) and all(len(learner.task.rows(it)) for it in splits)


def _crowd_rule(integrator: Integrator) -> CrowdRule | None:
    """Return what does as an integrator does; None if nothing does."""
    is_more = (
        integrator.prioritizer
        or integrator.gram
        or integrator.electing
        or integrator.observes
        or integrator.params
        or integrator.gamma != 1.0
    )
    if is_more or not can_integrate(integrator.rule):
        return None
    return CrowdRule(
        rule=str(integrator.rule),
        beta_max=integrator.beta_max,
        norm_cap_ratio=integrator.norm_cap_ratio,
    )


def _mix(read: Sequence[tuple[Integration, PlainRows]]) -> list[tuple[Integration, Mixture]]:
    """Integrate rows of one shape, and leave out whoever has rows that may be rejected."""
    if not read:
        return []
    first, count = read[0][0], len(read)
    flat = torch.stack([vector for _, rows in read for vector in rows.vectors])
    rows = flat.view(count, -1, flat.shape[1]).transpose(0, 1).contiguous()  # (n, k, d)
    weights = torch.tensor([_with_own(it.weights) for _, it in read], dtype=torch.float64).T
    vectors, shares = first.rule.integrate(rows, weights / weights.sum(dim=0))
    is_usual = first.rule.are_ordinary(torch.linalg.vector_norm(rows, dim=2))
    # A sum beyond the type is for the integrator.
    is_usual &= torch.isfinite(vectors.sum(dim=1))
    vectors += first.bench.initial
    return [
        (it, Mixture(vector=vector, shares=of_peer))
        for (it, _), vector, of_peer, is_ok in zip(
            read, vectors, shares.T.tolist(), is_usual.tolist(), strict=True
        )
        if is_ok
    ]


def _with_own(weights: Sequence[float]) -> list[float]:
    return [max(0.0, 1.0 - sum(weights)), *weights]
