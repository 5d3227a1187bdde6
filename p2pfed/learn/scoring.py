"""Scores a neighbor's model on own validation rows, for rules that look before they believe."""

import math
from typing import final

import torch
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.learn.learner import Learner


@final
class Scoring:
    """Tells how good the own model would be at another place: `robust.Integrator(evaluate=...)`.

    All validation rows are one evaluation shard.

    Args:
        learner: As it was created: its vector is taken for the run's initial one.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._initial = learner.vector()

    def __call__(self, difference: Tensor) -> list[float]:
        """Score a difference from the initial vector; the model is afterwards as it was before.

        What a neighbor sent cannot make its score raise: one outside of [0, 1] counts as the
        nearest number in it, and one that is no finite number as 0.

        Args:
            difference: Shape (d,); the learner's own, or one that a neighbor had a part in.

        Returns:
            One score in [0, 1], larger is better.

        Raises:
            LocalError: If the score of the learner's own model is not in [0, 1], or the learner
                cannot evaluate.
        """
        before = self._learner.vector()
        given = difference.to(self._initial)
        try:
            self._learner.load_vector(self._initial + given)
            score, _ = self._learner.evaluate("validation", should_stop=lambda: False)
        finally:
            self._learner.load_vector(before)
        if torch.equal(given, before - self._initial):
            _check_own(score)
        return [min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0]


def _check_own(score: float) -> None:
    if not 0.0 <= score <= 1.0:
        raise LocalError(
            f"the own model's validation score {score} is not in [0, 1], which rules that compare "
            "models by their scores need: take accuracy for a metric, or a rule that does not "
            "evaluate"
        )
