"""What a peer's jobs answer, whichever bench does them."""

from collections.abc import Callable
from typing import final

from msgspec import Struct
from torch import Tensor

from p2pfed.core.events import Evaluation, Verdict
from p2pfed.learn.learner import TrainingReport

LoadPayload = Callable[[bytes], bytes]


def never() -> bool:
    """Answer that a job need not stop."""
    return False


def unchanged(difference: Tensor) -> Tensor:
    """Return what is to be published as it is."""
    return difference


@final
class TrainingOutcome(Struct, frozen=True, kw_only=True):
    """What one training job did.

    Attributes:
        payload: The update, encoded.
        report: What the local steps did.
        is_full: Whether the payload stands alone: the whole vector, and not a difference from the
            last one; or all of the author's sums, and not one operation.
    """

    payload: bytes
    report: TrainingReport
    is_full: bool = True


@final
class IntegrationOutcome(Struct, frozen=True, kw_only=True):
    """What one integration job did.

    Attributes:
        verdicts: One per row, in the order of the rows.
        own_weight: Coefficient of the own row, 1 when nothing was integrated.
        evaluation: Of the new model, when one was asked for.
        note: Why the own model was kept, or empty.
    """

    verdicts: tuple[Verdict, ...]
    own_weight: float
    evaluation: Evaluation | None
    note: str
