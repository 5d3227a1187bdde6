"""Walk from a center towards the rows, none of which can pull further than a radius."""

import math
import statistics
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.errors import InputError, RuleError
from robust.inputs import Inputs
from robust.lengths import clip_ratio, distances_to_own
from robust.parameters import is_whole_number, shown
from robust.rule import Aggregation, Rule
from robust.rules.coordinate_wise import Median
from robust.tolerance import check_byzantine_count

# Of one call: a few take the center to its place, and a thousand take 0.14 s.
_STEPS_MAX: Final = 1_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CenteredClipping(Rule):
    """Move from a center v by the mean of the clipped differences, once or more often.

    v + 1/n sum_j clip(x_j - v, tau), where clip(y, tau) = y min(1, tau / |y|). One row moves the
    result by at most 2 tau / n per step, wherever it is.

    The first v is `own`, which is the place for the previous result too: nothing is remembered
    from call to call. Without `own` it is the coordinate-wise median. Every row has one vote:
    `weights` are ignored. With `gram`, distances are taken from it, and `own` has to be given and
    among the rows.

    Args:
        byzantine_count: The paper's delta n, which changes no result. Needs 2 f < n.
        radius: tau, in the unit of the vectors, at least 0; infinity is the mean. If left out, the
            median distance of the rows to v, anew in each step: no liar can raise it above the
            largest honest distance.
        step_count: The paper's L, from 1 to 1,000.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0, `radius` negative or NaN, or
            `step_count` not a whole number from 1 to 1,000.

    Source: Karimireddy, He and Jaggi 2021, "Learning from history for Byzantine robust
        optimization", algorithm 2.
    Differs: the paper's radius is a constant; here the median distance stands in for it.
    Cost: O(n d) time in two passes for one step, O(n^2 d) for any number of more; one block beyond
        the result in memory (n rows of it for more than one step), and one vector without `own`.
    """

    byzantine_count: int
    radius: float | None = None
    step_count: int = 1

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        if self.radius is not None and not self.radius >= 0.0:
            raise RuleError(f"radius={self.radius} is not a distance >= 0")
        if not is_whole_number(self.step_count) or not 1 <= self.step_count <= _STEPS_MAX:
            raise RuleError(
                f"step_count={shown(self.step_count)} is not a whole number from 1 to "
                f"{_STEPS_MAX:,}: to go on, give the result as own="
            )

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows with an honest majority: 2 f + 1."""
        return 2 * self.byzantine_count + 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        if inputs.own is None:
            inputs = replace(inputs, own=self._median(inputs)._vector(inputs))
        return inputs.combine(self._shares(inputs), is_self_centered=True)

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        median = None
        if inputs.own is None:
            median = self._median(inputs)._aggregate(inputs)
            inputs = replace(inputs, own=median.vector)
        shares = self._shares(inputs)
        vector = inputs.combine(shares, is_self_centered=True)
        rest = 1.0 - math.fsum(shares)
        if median is None:
            return Aggregation.of_rows(vector, inputs, shares, rest)
        result = Aggregation.of_rows(vector, inputs, shares)
        return replace(result, coefficients=result.coefficients + median.coefficients * rest)

    def _median(self, inputs: Inputs) -> Median:
        if inputs.gram is not None:
            raise InputError("gram measures no distance to a median: give own=, one of the rows")
        return Median(byzantine_count=self.byzantine_count)

    def _shares(self, inputs: Inputs) -> list[float]:
        """Return the s_j of v + sum_j s_j (x_j - v), v being the first center."""
        if self.step_count == 1:
            ratios = self._ratios(distances_to_own(inputs))
            return [ratio / inputs.row_count for ratio in ratios]
        geometry = inputs.measure().in_order(inputs.order)
        products = geometry.gram_about_own()
        moved = torch.zeros(inputs.row_count, dtype=torch.float64)
        for _ in range(self.step_count):
            drifts = moved - torch.eye(inputs.row_count, dtype=torch.float64)  # (n, n)
            squares = (drifts @ products * drifts).sum(dim=1).clamp_min(0.0)
            ratios = self._ratios(squares.sqrt().tolist())
            pulls = torch.tensor(ratios, dtype=torch.float64) / inputs.row_count
            moved = moved * (1.0 - pulls.sum()) + pulls
        return inputs.by_row(moved.tolist())

    def _ratios(self, distances: list[float]) -> list[float]:
        radius = statistics.median(distances) if self.radius is None else self.radius
        return [clip_ratio(distance, radius) for distance in distances]
