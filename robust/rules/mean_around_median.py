"""Average, in each coordinate, the values nearest to their median."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import column_blocks, write_unsigned_zeros
from robust.inputs import Inputs
from robust.rule import Aggregation, Rule
from robust.sorted_runs import Run, kept_values
from robust.sorting_network import sort_middle
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAroundMedian(Rule):
    """Average each coordinate's n - f values nearest to the median.

    Of two values equally near at the edge, the smaller is kept. Every row has one vote: `weights`
    are ignored, and so are `own`, `keys` and `gram`.

    Args:
        byzantine_count: Values to drop; the paper's f. Needs 2 f < n.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Xie, Koyejo and Gupta 2018, "Generalized Byzantine-tolerant SGD", definition 6.
    Differs: nothing; the median of an even number is the mean of the middle two.
    Cost: O(d n log(n)^2) time, two blocks of n rows beyond the result in memory.
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
    def _vector(self, inputs: Inputs) -> Tensor:
        return average_around_median(inputs, inputs.row_count - self.byzantine_count)

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        return aggregate_around_median(inputs, inputs.row_count - self.byzantine_count)


def average_around_median(
    inputs: Inputs, kept_count: int, *, rows: Sequence[int] | None = None
) -> Tensor:
    """Average each coordinate's values nearest to the median, the smaller of two as near.

    Args:
        inputs: What the rule sees.
        kept_count: How many values, at least 1.
        rows: The rows of which the values, and their median, are taken; all if left out.

    Returns:
        Shape (d,), newly allocated.

    Source: As `MeanAroundMedian`.
    Differs: nothing.
    Cost: As `MeanAroundMedian`.
    """
    return _average(inputs, kept_count, rows, None)


def aggregate_around_median(
    inputs: Inputs, kept_count: int, *, rows: Sequence[int] | None = None
) -> Aggregation:
    """Do as `average_around_median`, and say what each row contributed."""
    chosen = list(range(inputs.row_count) if rows is None else rows)
    kept = torch.zeros(len(chosen), dtype=torch.float64)
    vector = _average(inputs, kept_count, rows, kept)
    shares = torch.zeros(inputs.row_count, dtype=torch.float64)
    shares[chosen] = kept / (kept_count * inputs.dimension)
    return Aggregation.of_rows(vector, inputs, shares.tolist())


def _average(
    inputs: Inputs, kept_count: int, rows: Sequence[int] | None, kept: Tensor | None
) -> Tensor:
    """Average the nearest values; add to `kept` (rows,) how many of each row they are."""
    share = 1.0 / kept_count
    result = torch.empty_like(inputs.vectors[0])
    for columns in column_blocks(inputs.vectors):
        block = inputs.block(columns)  # (rows, columns)
        if rows is not None:
            block = block[torch.tensor(rows, device=block.device)]
        ranks = sort_middle(block if kept is None else block.clone(), 0)
        median = ranks[len(ranks) // 2]
        if len(ranks) % 2 == 0:
            median = ranks[len(ranks) // 2 - 1] * 0.5 + median * 0.5
        first, *others = nearest = _nearest(ranks, median, kept_count)
        # Scaled before they are summed: a mean near the type's maximum must not overflow.
        total = first * share
        for values in others:
            total += values * share
        write_unsigned_zeros(total, result[columns])
        if kept is not None:
            kept += kept_values(block, _run(ranks, nearest, median))
    return result


def _nearest(ranks: Sequence[Tensor], median: Tensor, kept_count: int) -> list[Tensor]:
    """Return `kept_count` tensors, in each column the values nearest to the median.

    The nearest values are a run of ranks, which begins at 0, or further up for each value below
    that is further away than the next one above. Whichever it is, the run has exactly one of the
    ranks i, i + kept_count, i + 2 kept_count and so on. Ranks that are in every run go first.
    """
    dropped_count = len(ranks) - kept_count
    always = range(dropped_count, kept_count)
    nearest = []
    for first in (*always, *range(kept_count - len(always))):
        values = ranks[first]
        for place in range(first, dropped_count, kept_count):
            above = ranks[place + kept_count]
            is_above = (median - ranks[place]) > (above - median)
            values = torch.where(is_above, above, values)
        nearest.append(values)
    return nearest


def _run(ranks: Sequence[Tensor], nearest: Sequence[Tensor], median: Tensor) -> Run:
    """Return which ranks the nearest values are: see `_nearest`."""
    start = torch.zeros_like(median, dtype=torch.int64)
    for below, above in zip(ranks, ranks[len(nearest) :], strict=False):
        start += (median - below) > (above - median)
    low, high = reduce(torch.minimum, nearest), reduce(torch.maximum, nearest)
    return Run(start, len(nearest), low, high)
