"""Tries out neighbors' rows on own held-out data, for the loss gate."""

import math
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from p2pfed.learn.learner import Learner, ShouldStop

KeyT = TypeVar("KeyT")

# Of the way towards a row. Lidin et al. 2025, "Incentivizing permissionless distributed learning of
# LLMs", probe with 0.2 of the step that an update makes; a whole one here leads to the row.
STEP_RATIO: Final = 0.2


@runtime_checkable
class SampledLoss(Protocol):
    """What a learner may be able to do beyond `Learner`, so that probing costs little."""

    def sample_loss(self, round: int, *, should_stop: ShouldStop) -> float:
        """Return the mean loss on a few validation rows that are drawn anew in each round.

        Within a round the rows are always the same.

        Raises:
            JobCancelled: If `should_stop` said so.
        """


def held_out_loss(
    learner: Learner, round: int, *, should_stop: ShouldStop
) -> Callable[[Tensor], float]:
    """Return what measures the loss of a whole vector, shape (d,), on a learner's held-out data.

    The learner is afterwards as it was before. One without `SampledLoss` is evaluated on all of its
    validation rows.

    Args:
        learner: Has model and data.
        round: Whose validation rows are drawn.
        should_stop: Asked before each measurement; it then raises JobCancelled.
    """

    def loss(vector: Tensor) -> float:
        before = learner.vector()
        learner.load_vector(vector)
        try:
            if isinstance(learner, SampledLoss):
                return learner.sample_loss(round, should_stop=should_stop)
            return learner.evaluate("validation", should_stop=should_stop)[1]
        finally:
            learner.load_vector(before)

    return loss


def relative_gains(
    loss: Callable[[Tensor], float], own: Tensor, rows: Mapping[KeyT, Tensor]
) -> dict[KeyT, float]:
    """Measure how a small step towards each row changes a held-out loss.

    (L(theta) - L(theta + rho (x_j - theta))) / L(theta) for the own vector theta and row x_j.

    Args:
        loss: L, the same for equal vectors.
        own: Shape (d,).
        rows: Finite vectors, shape (d,), by what tells them apart.

    Returns:
        The gains, negative where a row harms; -inf for one that makes the loss infinite or NaN.
        Nothing if the own loss is not a number: then nothing can be said of others.

    Source: Lidin et al. 2025, "Incentivizing permissionless distributed learning of LLMs", the loss
        score.
    Differs: rows are whole models, so a step towards one takes the place of a step along an update.
    """
    if not rows:
        return {}
    before = loss(own)
    if not math.isfinite(before):
        return {}
    return {
        key: _relative(before, loss(own + STEP_RATIO * (row - own))) for key, row in rows.items()
    }


def _relative(before: float, after: float) -> float:
    if not math.isfinite(after):
        return -math.inf
    if after == before:
        return 0.0
    return (before - after) / before if before > 0.0 else -math.inf
