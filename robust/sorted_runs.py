"""How much of each row is in a run of the sorted values of its columns."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

# Shares of equal values are counted in units, rounded down: so their sums are exact, in any order.
# 64 bits hold those of 2^31 values, more than a block has; an error of 2e-10 of a value is a guess
# at what matters to nobody.
UNITS: Final = 2**32


class Run(NamedTuple):
    """A run of ranks in each column.

    Attributes:
        start: Its first rank, one for all columns or of shape (columns,), int64.
        length: How many ranks.
        low: The values of its first rank, shape (columns,).
        high: The values of its last rank, shape (columns,).
    """

    start: int | Tensor
    length: int
    low: Tensor
    high: Tensor


def kept_values(block: Tensor, run: Run) -> Tensor:
    """Count, for each row, its values in the run.

    Of equal values some may be in the run and some not; each then counts for the share of them that
    is, so that no row gains by its place or its name.

    Args:
        block: Shape (n, columns).
        run: The run.

    Returns:
        Shape (n,), float64, on the CPU.

    Cost: O(n columns) time, one block of n rows in memory.
    """
    return kept_values_in_parts(block, run, 1)[:, 0]


def kept_values_in_parts(block: Tensor, run: Run, part_count: int) -> Tensor:
    """Count, for each row and each of some parts of the columns, its values in the run.

    Args:
        block: Shape (n, columns).
        run: The run.
        part_count: How many parts of as many columns there are.

    Returns:
        Shape (n, parts), float64, on the CPU.

    Cost: As of `kept_values`.
    """
    shape = (len(block), part_count, -1)
    is_inside = block.ge(run.low).logical_and_(block.le(run.high))  # (n, columns)
    per_row = is_inside.view(shape).sum(dim=2)
    if int(per_row.sum()) == run.length * block.shape[1]:
        return per_row.cpu().to(torch.float64)
    is_split = is_inside.sum(dim=0) != run.length  # (columns,)
    is_inside &= ~is_split
    whole = is_inside.view(shape).sum(dim=2)
    start = run.start[is_split] if isinstance(run.start, Tensor) else run.start
    split = Run(start, run.length, run.low[is_split], run.high[is_split])
    parts = is_split.nonzero()[:, 0] // (block.shape[1] // part_count)
    units = whole * UNITS + _units_kept(block[:, is_split], split, parts, part_count)
    return units.cpu().to(torch.float64) / UNITS


def _units_kept(block: Tensor, run: Run, parts: Tensor, part_count: int) -> Tensor:
    """Sum each row's shares in the run, shape (n, parts), in units; `parts` are the columns'."""
    end = run.start + run.length
    low_count = (block == run.low).sum(dim=0)
    high_count = (block == run.high).sum(dim=0)
    # Equal values are a run of ranks, too. That of `low` ends in ours or, if all of ours is equal,
    # beyond it; that of `high`, where it differs, begins in ours.
    low_end = (block < run.low).sum(dim=0) + low_count
    high_start = (block < run.high).sum(dim=0)
    low_units = (low_end.clamp_max(end) - run.start) * UNITS // low_count
    high_units = (end - high_start) * UNITS // high_count
    units = torch.zeros(len(block), part_count, dtype=torch.int64, device=block.device)
    for values, row in zip(block, units, strict=True):
        inside = ((values > run.low) & (values < run.high)) * UNITS
        at_ends = torch.where(values == run.low, low_units, high_units)
        is_end = (values == run.low) | (values == run.high)
        row.index_add_(0, parts, torch.where(is_end, at_ends, inside))
    return units
