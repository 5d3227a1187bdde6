"""Votes that say less than a whole ranking: its best edges, or in which part of it each edge is."""

from typing import Final

import torch
from torch import Tensor

from robust.errors import RuleError
from robust.ranks.ranking import inverse

LEVEL_BITS: Final = (1, 2, 4, 8)


def top_ids(ranks: Tensor, count: int) -> Tensor:
    """List the best edges, from the least to the most important of them.

    Args:
        ranks: Shape (n,), a permutation.
        count: From 1 to n.

    Returns:
        Shape (count,), int64.
    """
    return inverse(ranks)[len(ranks) - count :]


def top_ballot(ids: Tensor, size: int) -> Tensor:
    """Turn a list of the best edges into what it gives to each edge.

    Args:
        ids: Shape (m,), different edges, from the least to the most important.
        size: Edges of the layer, n.

    Returns:
        Shape (n,), int64: n - m to n - 1 for the listed edges, as in the whole ranking, and 0 for
        all others.

    Source: Mozaffari et al. 2023, "Every vote counts", section 4.3, Sparse-FRL.
    Differs: the paper does not say what a listed edge gets; here its rank among all edges.
    """
    ballot = torch.zeros(size, dtype=torch.int64, device=ids.device)
    ballot[ids] = torch.arange(size - len(ids), size, device=ids.device)
    return ballot


def check_level_bits(bits: int) -> None:
    """Raise RuleError unless `bits` is one of `LEVEL_BITS`."""
    if bits not in LEVEL_BITS:
        raise RuleError(f"bits={bits} is not one of {', '.join(map(str, LEVEL_BITS))}")


def levels_of(ranks: Tensor, bits: int) -> Tensor:
    """Cut a ranking into 2^bits parts of equal size: floor(rank 2^bits / n).

    With 1 bit it is the mask of the upper half.

    Args:
        ranks: Shape (n,), a permutation.
        bits: One of `LEVEL_BITS`.

    Returns:
        Shape (n,), int64, in [0, 2^bits).

    Raises:
        RuleError: If `bits` is none of them.
    """
    check_level_bits(bits)
    return (ranks << bits) // len(ranks)


def level_counts(size: int, bits: int) -> Tensor:
    """Count the edges that each level has in every ranking of `size` edges, shape (2^bits,)."""
    parts = 1 << bits
    borders = (torch.arange(parts + 1) * size + parts - 1) // parts  # first rank of each level
    return borders.diff()
