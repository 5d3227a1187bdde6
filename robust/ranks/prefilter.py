"""Leave out the rankings that lie apart from the crowd, before they are counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from robust.blocks import column_blocks
from robust.errors import InfeasibleError

VOTERS_MIN: Final = 5  # the fewest among which one liar can be outnumbered: 2 f + 3 with f = 1

_LIMB_BITS: Final = 16  # so that 16,384 products of two limbs sum exactly in float64, as 2^46


@final
@dataclass(frozen=True, slots=True)
class Electorate:
    """Whose ballots count.

    Attributes:
        kept: Row indices, ascending.
        is_filter_off: Whether there were too few voters to leave any out.
        note: A sentence that says so; empty if the filter was on.
    """

    kept: tuple[int, ...]
    is_filter_off: bool
    note: str


def spearman_multi_krum(
    ranks: Tensor, *, byzantine_count: int, order: Sequence[int] | None = None
) -> Electorate:
    """Keep the n - f rankings with the nearest n - f - 2 others, by Spearman's distance.

    Args:
        ranks: Shape (voters, n), int64, each row a permutation.
        byzantine_count: f. Needs voters >= 2 f + 3, unless there are fewer than `VOTERS_MIN`: then
            all are kept, and the result says so.
        order: The rows by ascending key, which breaks ties; as given if left out.

    Returns:
        Whose ballots count.

    Raises:
        InfeasibleError: If there are too few voters for f.

    Source: Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient
        descent", Multi-Krum with m = n - f; Spearman 1904, "The proof and measurement of
        association between two things", the sum of squared differences of ranks.
    Differs: applied to ranks, and what is kept is counted in place of averaged.
    Cost: O(voters^2 n), one block of the ranks in memory. It costs accuracy where no one lies, and
        where liars outnumber what noise leaves of the honest crowd, it keeps them.
    """
    voter_count = len(ranks)
    if voter_count < VOTERS_MIN:
        note = f"{voter_count} voters are fewer than {VOTERS_MIN}: no ranking can be told apart"
        return Electorate(tuple(range(voter_count)), True, note)
    neighbor_count = voter_count - byzantine_count - 2
    if voter_count < 2 * byzantine_count + 3:
        raise InfeasibleError(
            f"the prefilter with byzantine_count={byzantine_count} needs "
            f"{2 * byzantine_count + 3} voters, got {voter_count}: give it more, expect "
            "fewer liars, or turn it off"
        )
    distances = spearman_distances(ranks)
    scores = [
        sum(sorted(row[:voter] + row[voter + 1 :])[:neighbor_count])
        for voter, row in enumerate(distances)
    ]
    places = range(voter_count) if order is None else order
    best = sorted(places, key=scores.__getitem__)[: voter_count - byzantine_count]
    return Electorate(tuple(sorted(best)), False, "")


def spearman_distances(ranks: Tensor) -> list[list[int]]:
    """Sum the squared differences of each two rankings, exactly.

    Args:
        ranks: Shape (voters, n), int64, each row a permutation.

    Returns:
        One list per voter.
    """
    voter_count, size = ranks.shape
    limb_count = max(1, -(-(size - 1).bit_length() // _LIMB_BITS))
    products = torch.zeros(limb_count, voter_count, limb_count, voter_count, dtype=torch.int64)
    for columns in column_blocks(ranks):
        block = ranks[:, columns].cpu()
        limbs = torch.cat(
            [(block >> (_LIMB_BITS * it)) & ((1 << _LIMB_BITS) - 1) for it in range(limb_count)]
        ).to(torch.float64)  # (limbs * voters, columns)
        # Whole numbers below 2^53 at every step: exact in any order of summation.
        products += (limbs @ limbs.T).to(torch.int64).view(products.shape)
    # Products of whole ranks exceed 63 bits above 3 million edges: Python's integers do not.
    inner = [[0] * voter_count for _ in range(voter_count)]
    for low in range(limb_count):
        for high in range(limb_count):
            parts = products[low, :, high].tolist()
            for row, other in zip(inner, parts, strict=True):
                for voter, product in enumerate(other):
                    row[voter] += product << (_LIMB_BITS * (low + high))
    return [
        [inner[one][one] + inner[two][two] - 2 * inner[one][two] for two in range(voter_count)]
        for one in range(voter_count)
    ]
