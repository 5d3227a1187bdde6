"""Average the rows that are nearest to the own one."""

from dataclasses import dataclass
from typing import final

from typing_extensions import override

from robust.inputs import Inputs
from robust.lengths import distances_to_own
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Monna(SpanRule):
    """Average the n - f rows nearest to `own`: MoNNA.

    `own` is required; it counts for itself only as one of the rows, at distance 0. Of rows equally
    far away, those with the lowest keys are taken. Every row has one vote: `weights` are ignored.
    With `gram`, distances are taken from it, and `own` has to be among the rows.

    Of at most f liars, none that is averaged is further from `own` than the furthest honest row,
    and that is all: own is trusted as the point from which distances are measured, but has only
    1 / (n - f) of the result. Of more than f, as among liars only, the n - f - 1 nearest are
    averaged at any distance, and drag the result along.

    Args:
        byzantine_count: The paper's f. Needs 2 f < n, so that honest rows are most of those that
            are averaged only where 3 f < n.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Farhadkhani et al. 2023, "Robust collaborative learning with linear gradient overhead",
        nearest neighbor averaging.
    Differs: all n rows are at hand; the paper's machines wait for n - f of them and average the
        n - 2 f nearest of these. Momentum and the local step are the caller's.
    Cost: O(n d) time in two passes, one block beyond the result in memory.
    """

    byzantine_count: int

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows with an honest majority: 2 f + 1."""
        return 2 * self.byzantine_count + 1

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        distances = distances_to_own(inputs)
        kept_count = inputs.row_count - self.byzantine_count
        # The sort is stable: rows equally far away stay in the order of their keys.
        nearest = set(sorted(inputs.order, key=distances.__getitem__)[:kept_count])
        share = 1.0 / kept_count
        return Shares(tuple(share if row in nearest else 0.0 for row in range(inputs.row_count)))
