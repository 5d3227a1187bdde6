"""What the methods have in common that train scores of frozen weights, and vote on their order."""

from abc import ABC
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

from torch import Tensor
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.ballots import BALLOT, Ballots
from p2pfed.updates.codec import Codec
from p2pfed.updates.construction import Constant, check_choice, check_integer, check_number
from p2pfed.updates.method import Electing, Method
from p2pfed.updates.methods.supermask import ranked_layers
from p2pfed.updates.specification import ParameterSpecification
from robust.errors import RuleError
from robust.ranks.codec import RankCodec
from robust.ranks.codecs import Levels, PackedRanks, TopIds
from robust.ranks.layer import RankedLayer
from robust.ranks.sparse import LEVEL_BITS
from robust.rule import Rule
from robust.rules.rank_vote import RankVote
from robust.rules.score_vote import ScoreVote

FORMS: Final = ("packed", "levels", "top-ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedScores(Method, ABC):
    """Each tensor that trains holds scores of frozen weights, and is ranked by itself.

    Attributes:
        kept_ratio: Share of the weights that take part, of each tensor.
        form: What of a ranking travels: `packed`, all of it; `levels`, in which of 2^`bits` equal
            parts each weight is; `top-ids`, the best `share` in their order.
        bits: 1, 2, 4 or 8; of `levels`.
        share: In (0, 1]; of `top-ids`.
    """

    codec_name: ClassVar[str] = BALLOT

    kept_ratio: float = 0.5
    form: str = "packed"
    bits: int = 4
    share: float = 0.5

    def __post_init__(self) -> None:
        check_ratio(self.kept_ratio, "method.kept_ratio")
        object.__setattr__(self, "kept_ratio", float(self.kept_ratio))
        check_choice(self.form, "method.form", FORMS)
        check_integer(self.bits, "method.bits", least=1)
        if self.bits not in LEVEL_BITS:
            raise ConfigError(
                "method.bits", self.bits, f"write one of {', '.join(map(str, LEVEL_BITS))}"
            )
        check_ratio(self.share, "method.share")
        object.__setattr__(self, "share", float(self.share))

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)

    @override
    def codec(self, specification: ParameterSpecification, initial: Tensor) -> Codec:
        return Ballots(layers=_layers(specification), form=self._form(), initial=initial)

    @override
    def electing(self, specification: ParameterSpecification, initial: Tensor) -> Electing:
        layers, form = _layers(specification), self._form()

        def elect(rule: Rule) -> Rule:
            return ScoreVote(vote=as_rank_vote(rule), layers=layers, origin=initial, ballots=form)

        return elect

    def _form(self) -> RankCodec:
        match self.form:
            case "levels":
                return Levels(self.bits)
            case "top-ids":
                return TopIds(self.share)
            case _:
                return PackedRanks()


def as_rank_vote(rule: Rule) -> RankVote:
    """Return the rule if it is the vote whose constants a run file gives.

    Raises:
        RuleError: If it is another.
    """
    if not isinstance(rule, RankVote):
        raise RuleError(f"{type(rule).__name__} is no vote on rankings; use rank-vote")
    return rule


def check_ratio(value: object, field: str) -> None:
    """Refuse what is no number in (0, 1].

    Raises:
        ConfigError: If it is not.
    """
    check_number(value, field, above=0.0, most=1.0)


def _layers(specification: ParameterSpecification) -> tuple[RankedLayer, ...]:
    return ranked_layers({entry.name: entry.shape for entry in specification.entries})
