"""Scores a neighbor's model on own validation rows, for rules that look before they believe."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.learn.foreign_models import measure_foreign
from p2pfed.learn.learner import Learner, ShardScorer, ShouldStop


def _never() -> bool:
    return False


@final
@dataclass(slots=True, kw_only=True, eq=False)
class Scoring:
    """Tells how good the own model would be at another place: `robust.Integrator(evaluate=...)`.

    A learner that has the method of `ShardScorer` says the shards of its validation rows; with
    any other, all of them are one shard.

    Attributes:
        learner: Has model and data.
        initial: The run's initial vector, shape (d,).
        should_stop: Asked by the learner between two batches.
    """

    learner: Learner
    initial: Tensor
    should_stop: ShouldStop = _never
    _shard_count: int | None = field(default=None, init=False)

    def __call__(self, difference: Tensor) -> list[float]:
        """Score a difference from the initial vector; the model is afterwards as it was before.

        What a neighbor sent cannot make its scores raise: those outside of [0, 1] count as the
        nearest number in it, those that are no finite number as 0, and all of them as 0 where the
        learner has scored the own model and fails on the neighbor's.

        Args:
            difference: Shape (d,); the learner's own, or one that a neighbor had a part in.

        Returns:
            One score in [0, 1] per shard, larger is better.

        Raises:
            JobCancelled: If `should_stop` said so.
            LocalError: If the learner's own model has no scores, or one that is not in [0, 1], or
                the learner cannot evaluate.
        """
        before = self.learner.vector()
        given = difference.to(self.initial)
        is_own = torch.equal(given, before - self.initial)
        try:
            self.learner.load_vector(self.initial + given)
            if is_own or self._shard_count is None:
                scores = self._evaluate()
            else:
                worst = [0.0] * self._shard_count
                scores = measure_foreign(self._evaluate, worst=worst)
        finally:
            self.learner.load_vector(before)
        if is_own:
            _check_own(scores)
            self._shard_count = len(scores)
        return [min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0 for score in scores]

    def _evaluate(self) -> list[float]:
        learner = self.learner
        if isinstance(learner, ShardScorer):
            return [float(score) for score in learner.shard_scores(should_stop=self.should_stop)]
        score, _ = learner.evaluate("validation", should_stop=self.should_stop)
        return [float(score)]


def _check_own(scores: Sequence[float]) -> None:
    fix = "take accuracy for a metric, or a rule that does not evaluate"
    if not scores:
        raise LocalError(f"the learner gave its own model no validation score; give one, or {fix}")
    for score in scores:
        if not 0.0 <= score <= 1.0:
            raise LocalError(
                f"the own model's validation score {score} is not in [0, 1], which rules that "
                f"compare models by their scores need: {fix}"
            )
