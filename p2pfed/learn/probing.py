"""Tries out neighbors' rows on own held-out data, for the loss gate."""

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from torch import Tensor

import robust
from p2pfed.learn.foreign_models import measure_foreign
from p2pfed.learn.learner import Learner, LossSampler, ShouldStop

KeyT = TypeVar("KeyT")

# Of the way towards a row. Lidin et al. 2025, "Incentivizing permissionless distributed learning of
# LLMs", probe with 0.2 of the step that an update makes; a whole one here leads to the row.
STEP_RATIO: Final = 0.2
# Rows that are no model of this run, or not of a length that a probe could judge.
_NOT_PROBED: Final = frozenset(
    {
        robust.Reason.DUPLICATE_PEER,
        robust.Reason.WRONG_SHAPE,
        robust.Reason.WRONG_TYPE,
        robust.Reason.NOT_FINITE,
        robust.Reason.NORM_CAP,
    }
)


def can_be_probed(reason: robust.Reason) -> bool:
    """Return whether a row with a verdict is a model whose harm a probe can measure."""
    return reason not in _NOT_PROBED


# Losses are divided by their size, but by no less than this: near 0 a change of nothing would be
# infinite. Guess: a loss as small, of a mean over rows, means that nothing is left to learn.
_LOSS_SIZE_MIN: Final = 1e-6


def held_out_loss(
    learner: Learner, round: int, *, should_stop: ShouldStop
) -> Callable[[Tensor], float]:
    """Return what measures the loss of a whole vector, shape (d,), on a learner's held-out data.

    The learner is afterwards as it was before. One that is no `LossSampler` is evaluated on all of
    its validation rows. One that says no loss, but a score alone, has a loss of NaN.

    Args:
        learner: Has model and data.
        round: Whose validation rows are drawn.
        should_stop: Asked before each measurement; it then raises JobCancelled.
    """

    def loss(vector: Tensor) -> float:
        before = learner.vector()
        learner.load_vector(vector)
        try:
            if isinstance(learner, LossSampler):
                return _number(learner.sample_loss(round, should_stop=should_stop))
            return loss_in(learner.evaluate("validation", should_stop=should_stop))
        finally:
            learner.load_vector(before)

    return loss


def loss_in(result: object) -> float:
    """Return the loss in what an evaluation by an application returned, NaN if there is none."""
    return _number(result[1]) if isinstance(result, tuple) and len(result) == 2 else math.nan


def relative_gains(
    loss: Callable[[Tensor], float], own: Tensor, rows: Mapping[KeyT, Tensor]
) -> dict[KeyT, float]:
    """Measure how a small step towards each row changes a held-out loss.

    (L(theta) - L(theta + rho (x_j - theta))) / |L(theta)| for the own vector theta and row x_j. The
    loss may be negative, as a negative log-likelihood of densities is.

    Args:
        loss: L, the same for equal vectors.
        own: Shape (d,).
        rows: Finite vectors, shape (d,), by what tells them apart.

    Returns:
        The gains, negative where a row harms; -inf for one that makes the loss infinite or NaN, or
        raise anything but a P2PFedError.
        Nothing if the own loss is not a number: then nothing can be said of others.

    Source: Lidin et al. 2025, "Incentivizing permissionless distributed learning of LLMs", the loss
        score.
    Differs: rows are whole models, so a step towards one takes the place of a step along an update.
        They divide by L(theta), which has to be positive; and a size below 1e-6 counts as that.
    """
    if not rows:
        return {}
    before = loss(own)
    if not math.isfinite(before):
        return {}
    return {key: _relative(before, _foreign_loss(loss, own, row)) for key, row in rows.items()}


def _foreign_loss(loss: Callable[[Tensor], float], own: Tensor, row: Tensor) -> float:
    return measure_foreign(lambda: loss(own + STEP_RATIO * (row - own)), worst=math.inf)


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # the edge to the application
    except (TypeError, ValueError):
        return math.nan


def _relative(before: float, after: float) -> float:
    if not math.isfinite(after):
        return -math.inf
    return (before - after) / max(abs(before), _LOSS_SIZE_MIN)
