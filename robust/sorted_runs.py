"""How much of each row is in a run of the sorted values of its columns."""

import torch
from torch import Tensor


def kept_values(block: Tensor, start: int, count: int) -> Tensor:
    """Count, for each row, its values among the ranks from `start` to `start + count - 1`.

    Of equal values some may be in the run and some not; each then counts for the share of them that
    is, so that no row gains by its place or its name.

    Args:
        block: Shape (n, columns).
        start: The first rank of the run.
        count: The length of the run.

    Returns:
        Shape (n,), float64, on the CPU.

    Cost: O(n^2 columns) time, two blocks of n rows in memory.
    """
    counts = torch.zeros(len(block), dtype=torch.float64)
    for row, values in enumerate(block):
        below = (block < values).sum(dim=0)
        equal = (block == values).sum(dim=0)
        end = (below + equal).clamp_max(start + count)
        kept = (end - below.clamp_min(start)).clamp_min(0)
        counts[row] = float((kept / equal).sum())
    return counts
