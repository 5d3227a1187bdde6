"""The method `update-ranks`: `ffa-lora`, with a vote on what was learned in place of a mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor
from typing_extensions import override

from p2pfed.updates.ballots import BALLOT
from p2pfed.updates.codec import Codec
from p2pfed.updates.method import Electing, Gram
from p2pfed.updates.methods.low_rank import LowRank, common_factor_gram
from p2pfed.updates.methods.ranked import as_rank_vote, check_ratio
from p2pfed.updates.signed_ballots import SignedBallots
from p2pfed.updates.specification import ParameterSpecification
from robust.rule import Rule
from robust.rules.update_vote import UpdateVote


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRanks(LowRank):
    """Low-rank adapters with a common A, of whose change the ranking and the signs are voted on.

    What travels of the difference from the start are the largest entries in their order, their
    signs and sorted magnitudes; see `robust.rules.update_vote`. All that trains is one ballot.

    Source: Mozaffari, Shejwalkar and Houmansadr 2023, "Every vote counts: ranking-based training
        of federated learning to resist poisoning attacks", for the vote; Sun et al. 2024,
        "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA), for what trains.
    Differs: the vote is on an update of trained values, and on all that was learned since the
        start, so that peers who agree stay as they are and nobody has to know a round's start.

    Attributes:
        share: Of all entries, in (0, 1], that a peer lists and that move; all others stay where
            they started.
    """

    name: ClassVar[str] = "update-ranks"
    codec_name: ClassVar[str] = BALLOT
    trains_a: ClassVar[bool] = False

    share: float = 0.5

    @override
    def __post_init__(self) -> None:
        LowRank.__post_init__(self)
        check_ratio(self.share, "method.share")
        object.__setattr__(self, "share", float(self.share))

    @override
    def gram(
        self, specification: ParameterSpecification, initial: Tensor, *, fixed: Mapping[str, Tensor]
    ) -> Gram | None:
        return common_factor_gram(specification, fixed, scale=self.scale)

    @override
    def codec(self, specification: ParameterSpecification, initial: Tensor) -> Codec:
        return SignedBallots(share=self.share)

    @override
    def electing(self, specification: ParameterSpecification, initial: Tensor) -> Electing:
        def elect(rule: Rule) -> Rule:
            return UpdateVote(vote=as_rank_vote(rule), share=self.share)

        return elect
