"""The vote of rankings among vectors of scores, one election per layer."""

from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.errors import RuleError
from robust.inputs import Inputs
from robust.ranks.codec import RankCodec
from robust.ranks.codecs import Levels, PackedRanks
from robust.ranks.layer import RankedLayer, split_layers
from robust.ranks.ranking import ranks_of
from robust.rule import Aggregation
from robust.rules.vector_vote import VectorVote

_WHOLE: Final = PackedRanks()


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreVote(VectorVote):
    """Elect each layer's ranking from vectors of scores, and deal the scores out by it.

    Of each row only the order within each layer counts, whatever its values. A row's coefficient
    is the mean of those that it has in the layers, by their sizes.

    Args:
        vote: How one layer is elected.
        layers: Of a vector, behind each other.
        origin: What vectors are differences from, shape (d,).
        ballots: What of a ranking travels: rows that say no more than that have ties, and so does
            the own row's vote then. `vote` must not ask for more than they say.

    Raises:
        RuleError: If it does: who is among the best by approval, levels do not tell.

    Source: Mozaffari, Shejwalkar and Houmansadr 2023, "Every vote counts: ranking-based training
        of federated learning to resist poisoning attacks", algorithm 1.
    Differs: as `RankVote`; and what is dealt out are the scores of `RankedLayer`.
    Cost: That of `vote`, and a sort of each row.
    """

    layers: tuple[RankedLayer, ...]
    origin: Tensor
    ballots: RankCodec = _WHOLE

    def __post_init__(self) -> None:
        if self.vote.vote == "approval" and isinstance(self.ballots, Levels):
            raise RuleError("vote='approval' asks who is among the best: levels do not say")

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        split_layers(self.origin, self.layers)
        split_layers(inputs.vectors, self.layers)
        result = torch.empty_like(inputs.vectors[0])
        shares = torch.zeros(inputs.row_count, dtype=torch.float64)
        notes = []
        start = 0
        for layer in self.layers:
            columns = slice(start, start + layer.size)
            start += layer.size
            origin = self.origin[columns].to(inputs.vectors.device)
            elected = self.vote._aggregate(self._ballots(inputs, columns, origin))
            result[columns] = (layer.scores(elected.vector) - origin).to(result.dtype)
            shares += elected.coefficients * (layer.size / inputs.dimension)
            notes.append(elected.note)
        return Aggregation.of_rows(result, inputs, shares.tolist(), note=max(notes))

    def _ballots(self, inputs: Inputs, columns: slice, origin: Tensor) -> Inputs:
        """Return what the election of one layer sees."""
        rows = inputs.block(columns) + origin
        ballots = torch.stack([self.ballots.ballot(ranks_of(row)) for row in rows])
        return replace(
            inputs, vectors=ballots, own=None, gram=None, mixing=None, given_order=inputs.order
        )
