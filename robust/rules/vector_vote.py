"""What rules have in common that hold an election among vectors."""

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from robust.inputs import Inputs
from robust.rule import Rule
from robust.rules.rank_vote import RankVote


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorVote(Rule):
    """Reads ballots from vectors and elects by a `RankVote`, whose needs are its own.

    Args:
        vote: How ballots are counted.
    """

    vote: RankVote

    @property
    @override
    def byzantine_count(self) -> int:  # type: ignore[override]  # derived, so it cannot be set
        """That of the vote."""
        return self.vote.byzantine_count

    @property
    @override
    def rows_min(self) -> int:
        """That of the vote."""
        return self.vote.rows_min

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return self._aggregate(inputs).vector
