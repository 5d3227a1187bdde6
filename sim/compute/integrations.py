"""Integrations of many peers at once, and what their models are worth."""

import logging
from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Final, final

import torch
from msgspec import Struct, structs
from torch import Tensor

from p2pfed.core.effects import StartIntegration
from p2pfed.core.events import Evaluation
from p2pfed.errors import LocalError
from p2pfed.learn.intake import PlainRows, verdicts_on_shares
from p2pfed.learn.jobs import IntegrationOutcome, LoadPayload
from p2pfed.learn.learner import Learner, TaskLearner
from p2pfed.learn.task import Task
from p2pfed.learn.workbench import Workbench
from robust.integrator import Integrator
from sim.compute.crowd_rule import BLOCK_BYTES, CrowdRule, can_integrate
from sim.compute.gathering import Gathering
from sim.compute.stacked import Families, Family

_log = logging.getLogger(__name__)

_TOGETHER_MIN: Final = 2


@final
class Integrated(Struct, frozen=True, kw_only=True, eq=False):
    """What an integration comes to.

    Attributes:
        vector: The next own vector, shape (d,).
        outcome: What the bench answers.
    """

    vector: Tensor
    outcome: IntegrationOutcome


Found = list[tuple["Integration", Integrated]]


@final
class Integration(Struct, frozen=True, kw_only=True, eq=False):
    """An integration that has started.

    Attributes:
        bench: Whose.
        rule: What does as the bench's integrator; None if nothing does.
        family: The learner's, if its model is to be evaluated.
        shape: What is equal where rows can be integrated at once.
        effect: The job.
        load_payload: Content hash to payload.
        others: What it may be computed with.
    """

    bench: Workbench
    rule: CrowdRule | None
    family: Family | None
    shape: Hashable
    effect: StartIntegration
    load_payload: LoadPayload
    others: "Gathering[Integration, Integrated]"

    def own(self) -> Tensor:
        """Return the own vector, shape (d,), to be read at once."""
        learner = self.bench.learner
        return learner.adapted.view() if isinstance(learner, TaskLearner) else learner.vector()

    def rows(self) -> PlainRows | None:
        """Return its rows; nothing changes the learner before it is due."""
        return self.bench.plain_rows(self.effect, self.load_payload)

    def alone(self) -> Integrated:
        """Do it without an evaluation, and undo it: the bench is as before.

        Raises:
            LocalError: As from `Workbench.integrate`.
        """
        learner = self.bench.learner
        before = learner.vector()
        unasked = structs.replace(self.effect, evaluate=False, test=False)
        outcome = self.bench.integrate(unasked, self.load_payload)
        vector = learner.vector()
        learner.load_vector(before)
        return Integrated(vector=vector, outcome=outcome)

    def finish(self) -> IntegrationOutcome:
        """Hand over what was found, or do it now.

        Raises:
            LocalError: As from `Workbench.integrate`.
        """
        found = self.others.take(self)
        if found is None:
            return self.bench.integrate(self.effect, self.load_payload)
        self.bench.learner.load_vector(found.vector)
        return found.outcome

    def drop(self) -> None:
        """Forget it; the learner has not changed."""
        self.others.drop(self)

    def expect(self, end_ns: int) -> None:
        """Take note of when it ends, in nanoseconds."""
        self.others.expect(self, end_ns)


@final
class Integrations:
    """All integrations of a world that have started.

    Args:
        families: Of its learners.

    Attributes:
        started: Those that have not ended.
    """

    def __init__(self, families: Families) -> None:
        self._families = families
        self.started: Gathering[Integration, Integrated] = Gathering(self._compute)

    def begin(
        self, bench: Workbench, effect: StartIntegration, load_payload: LoadPayload
    ) -> Integration | None:
        """Start an integration; None if it cannot be done with others."""
        if not bench.is_plain:
            return None
        rule = _crowd_rule(bench.exchange.integrator) if effect.rows else None
        family, learner = None, bench.learner
        if effect.evaluate or effect.test:
            family = self._families.find(learner)
            if family is None or not family.is_scored or not _has_rows(learner, effect):
                return None
        elif rule is None:
            return None
        integration = Integration(
            bench=bench,
            rule=rule,
            family=family,
            shape=_shape(bench, rule, family, effect),
            effect=effect,
            load_payload=load_payload,
            others=self.started,
        )
        self.started.add(integration)
        return integration

    def _compute(self, group: Sequence[Integration]) -> Found:
        return self._evaluated(self._integrate(group)) if len(group) >= _TOGETHER_MIN else []

    def _integrate(self, group: Sequence[Integration]) -> Found:
        found = _by_rule(group) if group[0].rule is not None else []
        known = {it for it, _ in found}
        for integration in group:
            if integration in known:
                continue
            if integration.family is None:
                self.started.drop(integration)  # its bench has something to say about a row
                continue
            try:
                found.append((integration, integration.alone()))
            except LocalError:  # which its bench raises again
                self.started.drop(integration)
        return found

    def _evaluated(self, mixed: Found) -> Found:
        """Return what was found with what the jobs ask to know of it."""
        if not mixed or mixed[0][0].family is None:
            return mixed
        family, effect = mixed[0][0].family, mixed[0][0].effect
        vectors, task = [found.vector for _, found in mixed], _task(mixed[0][0].bench)
        tests: Sequence[tuple[float, float] | None] = [None] * len(mixed)
        try:
            scores = family.evaluate(vectors, task.rows("validation"))
            if effect.test:
                tests = family.evaluate(vectors, task.rows("test"))
        except Exception:  # whatever a model, a loss or a metric makes of a stack
            _log.info("models of %s are evaluated one by one", task.name)
            family.is_scored = False
            for integration, _ in mixed:
                self.started.drop(integration)
            return []
        return [
            (it, structs.replace(found, outcome=_with_scores(found.outcome, scored, tested)))
            for (it, found), scored, tested in zip(mixed, scores, tests, strict=True)
        ]


def _shape(
    bench: Workbench, rule: CrowdRule | None, family: Family | None, effect: StartIntegration
) -> Hashable:
    rows = (id(bench.initial), len(effect.rows)) if rule else ()
    if family is None:
        return rule, rows
    task = _task(bench)
    return rule, rows, family, (id(task.validation), id(task.test), effect.test)


def _task(bench: Workbench) -> Task:
    """Return what a bench's learner evaluates on."""
    assert isinstance(bench.learner, TaskLearner)
    return bench.learner.task


def _with_scores(
    outcome: IntegrationOutcome,
    scored: tuple[float, float],
    tested: tuple[float, float] | None,
) -> IntegrationOutcome:
    score, loss = scored
    test_score = None if tested is None else tested[0]
    evaluation = Evaluation(score=score, loss=loss, test_score=test_score)
    return structs.replace(outcome, evaluation=evaluation)


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
    return CrowdRule.of(integrator)


def _by_rule(group: Sequence[Integration]) -> Found:
    """Integrate rows of one shape, and leave out whoever has more to do."""
    size = len(group[0].bench.initial)
    block = max(BLOCK_BYTES // ((len(group[0].effect.rows) + 1) * size * 4), 1)
    jobs: list[Integration] = []
    mixed: list[_Mixed] = []
    for first in range(0, len(group), block):
        read = [(it, it.rows()) for it in group[first : first + block]]
        plain = [(it, rows) for it, rows in read if rows is not None]
        if plain:
            jobs += [it for it, _ in plain]
            mixed.append(_mix(plain))
    return _usual(jobs, mixed) if mixed else []


class _Mixed(Struct, frozen=True, kw_only=True, eq=False):
    """What a rule made of a block of k peers' rows.

    Attributes:
        vectors: The next own vectors, shape (k, d).
        shares: What each row contributed, shape (n, k).
        lengths: Of the rows, shape (n, k).
        is_finite: Whose result surely is, shape (k,).
    """

    vectors: Tensor
    shares: Tensor
    lengths: Tensor
    is_finite: Tensor


def _mix(read: Sequence[tuple[Integration, PlainRows]]) -> _Mixed:
    """Integrate rows of one shape."""
    first, count = read[0][0], len(read)
    assert first.rule is not None
    places = zip(*(rows.vectors for _, rows in read), strict=True)
    own = [it.own() for it, _ in read]
    flat = torch.stack([*own, *(vector for place in places for vector in place)])
    rows = flat.view(-1, count, flat.shape[1])  # (n, k, d)
    rows[0] -= first.bench.initial
    weights = torch.tensor([_with_own(it.weights) for _, it in read], dtype=torch.float64).T
    vectors, shares = first.rule.integrate(rows, weights / weights.sum(dim=0))
    is_finite = torch.isfinite(vectors.sum(dim=1))
    vectors += first.bench.initial
    lengths = torch.linalg.vector_norm(rows, dim=2)
    return _Mixed(vectors=vectors, shares=shares, lengths=lengths, is_finite=is_finite)


def _usual(jobs: Sequence[Integration], mixed: Sequence[_Mixed]) -> Found:
    """Return what was found, and leave out whoever has rows that may be rejected."""
    rule = jobs[0].rule
    assert rule is not None
    is_usual = rule.are_ordinary(torch.cat([it.lengths for it in mixed], dim=1))
    # A sum beyond the type is for the integrator.
    is_usual &= torch.cat([it.is_finite for it in mixed])
    vectors = chain.from_iterable(it.vectors for it in mixed)
    shares = torch.cat([it.shares for it in mixed], dim=1).T.tolist()
    return [
        (it, Integrated(vector=vector, outcome=_outcome(it, of_peer)))
        for it, vector, of_peer, is_ok in zip(jobs, vectors, shares, is_usual.tolist(), strict=True)
        if is_ok
    ]


def _outcome(integration: Integration, shares: Sequence[float]) -> IntegrationOutcome:
    own_share, *others = shares
    return IntegrationOutcome(
        verdicts=verdicts_on_shares(integration.effect.rows, others),
        own_weight=own_share,
        evaluation=None,
        note="",
    )


def _with_own(weights: Sequence[float]) -> list[float]:
    return [max(0.0, 1.0 - sum(weights)), *weights]
