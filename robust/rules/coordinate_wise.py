"""Rules that treat each coordinate by itself: the trimmed mean and the median."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import check_finite, column_blocks, write_unsigned_zeros
from robust.compiled import find_middle
from robust.inputs import Inputs
from robust.rule import Aggregation, Rule
from robust.sorted_runs import Run, kept_values
from robust.sorting_network import sort_middle
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrimmedMean(Rule):
    """Average each coordinate after dropping its f smallest and its f largest values.

    Every row has one vote: `weights` are ignored, and so are `own`, `keys` (the values themselves
    are sorted, so no order of rows remains) and `gram`.

    Args:
        byzantine_count: Values to drop at each end; the paper's f. Needs 2 f < n.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical
        rates", definition 2.
    Differs: the paper drops a share beta of the values; here a count.
    Cost: O(d n log(n)^2) time, one block of n rows beyond the result in memory.
    """

    finds_wild_values: ClassVar[bool] = True

    byzantine_count: int

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows of which one is left in each coordinate: 2 f + 1."""
        return 2 * self.byzantine_count + 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return _mean_of_middle(inputs, self.byzantine_count, None)

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        return _aggregate_middle(inputs, self.byzantine_count)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Median(Rule):
    """Take the middle value of each coordinate; of an even number, the mean of the middle two.

    Every row has one vote: `weights` are ignored, and so are `own`, `keys` and `gram`.

    Args:
        byzantine_count: The paper's f, which changes no result. Needs 2 f < n.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Yin et al. 2018, "Byzantine-robust distributed learning: towards optimal statistical
        rates", definition 1.
    Differs: nothing; torch.median is another function, it takes the lower of the middle two.
    Cost: O(d n log(n)^2) time, one block of n rows beyond the result in memory.
    """

    finds_wild_values: ClassVar[bool] = True

    byzantine_count: int = 0

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows with an honest majority: 2 f + 1."""
        return 2 * self.byzantine_count + 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return _mean_of_middle(inputs, _median_cut(inputs), None)

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        return _aggregate_middle(inputs, _median_cut(inputs))


def _median_cut(inputs: Inputs) -> int:
    """Count the values at each end that are not in the middle: all but one or two are."""
    return (inputs.row_count - 1) // 2


def _aggregate_middle(inputs: Inputs, cut: int) -> Aggregation:
    kept = torch.zeros(inputs.row_count, dtype=torch.float64)
    vector = _mean_of_middle(inputs, cut, kept)
    shares = kept / ((inputs.row_count - 2 * cut) * inputs.dimension)
    return Aggregation.of_rows(vector, inputs, shares.tolist())


def _mean_of_middle(inputs: Inputs, cut: int, kept: Tensor | None) -> Tensor:
    """Average the middle ranks; add to `kept` (rows,) how many values each had in them."""
    result = torch.empty_like(inputs.vectors[0])
    compiled = find_middle(inputs, cut)
    block: Tensor | None = None
    spare: Tensor | None = None
    for columns in column_blocks(inputs.vectors):
        mean = None if compiled is None else compiled.average(inputs, columns, kept)
        if mean is None:
            if not inputs.is_checked:
                block_of_all = inputs.vectors[:, columns]
                check_finite(block_of_all, "vectors", first_column=columns.start)
            block = inputs.block(columns, into=block)  # (rows, columns), the first the widest
            if kept is not None and spare is None:
                spare = torch.empty_like(block)
            copy = block if spare is None else spare[:, : block.shape[1]].copy_(block)
            mean = _average(block, copy, cut, kept)
        write_unsigned_zeros(mean, result[columns])
    return result


def _average(block: Tensor, copy: Tensor, cut: int, kept: Tensor | None) -> Tensor:
    """Do by torch what `CompiledMiddle.average` does as well; overwrite `copy`."""
    middle = sort_middle(copy, cut)
    share = 1.0 / len(middle)
    # Scaled before it is summed: a mean of values near the type's maximum must not overflow.
    mean = middle[0] * share
    for values in middle[1:]:
        mean += values * share
    if kept is not None:
        kept += kept_values(block, Run(cut, len(middle), middle[0], middle[-1]))
    return mean
