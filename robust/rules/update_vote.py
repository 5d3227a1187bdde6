"""The vote of rankings of an update's entries, with signs, among vectors."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from robust.errors import RuleError
from robust.inputs import Inputs
from robust.ranks import votes
from robust.ranks.codecs import listed_count
from robust.ranks.prefilter import Electorate, spearman_multi_krum
from robust.ranks.ranking import order_of, ranks_of
from robust.rule import Aggregation
from robust.rules.vector_vote import VectorVote
from robust.sorting_network import sort_middle


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateVote(VectorVote):
    """Elect which entries of an update move and to which side, and take how far from a median.

    Each row lists its largest entries: its ballot on one is its sign times its rank, n - m to
    n - 1 of n, and 0 on the others. The m entries whose totals are farthest from 0 move, each to
    the side of the majority, and by the median over the rows of what their k-th largest entry is.
    So a row has one vote on an entry and one value in each median, and nothing to scale.

    A row's coefficient is that of `RankVote`.

    Args:
        vote: Which of its votes, and whether behind its prefilter. In a trimmed or median vote,
            the side is that of the total; `approval` counts signs alone, and `kept_ratio` has no
            say.
        share: Of the entries, in (0, 1], that a row lists; at least one.

    Raises:
        RuleError: If `share` is out of range.

    Source: Mozaffari, Shejwalkar and Houmansadr 2023, "Every vote counts: ranking-based training
        of federated learning to resist poisoning attacks", for the vote; Bernstein et al. 2019,
        "signSGD with majority vote is communication efficient and fault tolerant", for the signs.
    Differs: the vote is on an update of trained values; see `robust.ranks.rank_of_update`, which
        is the borda vote of equal weights on ballots as they travel.
    Cost: O(n rows) and a sort of each row; the ballots of all rows in memory.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise RuleError(f"share={self.share} is not in (0, 1]")

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        rows = inputs.block(slice(0, inputs.dimension))
        count = listed_count(inputs.dimension, self.share)
        ballots = torch.stack([signed_ballot(row, count) for row in rows])
        electorate = self._electorate(inputs, ballots)
        kept = torch.tensor(electorate.kept)
        shares = [0.0] * len(rows)
        totals, sides, kept_shares = self._count(
            inputs, ballots[kept.to(ballots.device)], electorate
        )
        for row, share in zip(electorate.kept, kept_shares, strict=True):
            shares[row] = share
        moved = order_of(totals.abs())[inputs.dimension - count :]
        largest = torch.stack([rows[row].abs().sort().values[-count:] for row in electorate.kept])
        middle = sort_middle(largest, votes.median_cut(len(largest)))
        table = middle[0] * 0.5 + middle[-1] * 0.5
        update = torch.zeros_like(inputs.vectors[0])
        update[moved] = (table * sides[moved].sign()).to(update.dtype)
        return Aggregation.of_rows(update, inputs, shares, note=electorate.note)

    def _electorate(self, inputs: Inputs, ballots: Tensor) -> Electorate:
        if not self.vote.prefilter:
            return Electorate(tuple(range(len(ballots))), True, "")
        return spearman_multi_krum(
            torch.stack([ranks_of(ballot) for ballot in ballots]),
            byzantine_count=self.byzantine_count,
            order=inputs.order,
        )

    def _count(
        self, inputs: Inputs, ballots: Tensor, electorate: Electorate
    ) -> tuple[Tensor, Tensor, list[float]]:
        """Return the totals, what decides on the sides, and each counted row's share."""
        if self.vote.vote in ("trimmed", "median"):
            cut = self.vote.cut(electorate)
            totals = votes.trimmed(ballots, cut)
            return totals, totals, votes.middle_shares(ballots, cut)
        weights = self.vote.ballot_weights(inputs, electorate)
        sides = votes.borda(ballots.sign(), weights)
        totals = sides if self.vote.vote == "approval" else votes.borda(ballots, weights)
        return totals, sides, [weight / sum(weights) for weight in weights]


def signed_ballot(update: Tensor, count: int) -> Tensor:
    """Return what one peer gives to each entry.

    Args:
        update: Shape (n,), floating point, finite.
        count: m, from 1 to n: how many entries it lists, those of the largest magnitudes.

    Returns:
        Shape (n,), int64: n - m to n - 1 by ascending magnitude, with the entry's sign.
    """
    size = len(update)
    ids = order_of(update.abs())[size - count :]
    ballot = torch.zeros(size, dtype=torch.int64, device=update.device)
    ranks = torch.arange(size - count, size, device=update.device)
    ballot[ids] = ranks * update[ids].sign().to(torch.int64)
    return ballot
