"""The method `ranks`: which of the frozen weights take part is trained, and voted on."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn
from typing_extensions import override

from p2pfed.updates.construction import check_names
from p2pfed.updates.method import (
    AdaptedModel,
    collect,
    digest_frozen,
    freeze_all,
    warn_of_buffers,
)
from p2pfed.updates.methods.ranked import RankedScores
from p2pfed.updates.methods.supermask import mask_layers


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks(RankedScores):
    """A score trains per weight; the weights stay as they were drawn, and the best take part.

    What travels is the ranking of each layer's scores, and integration is an election among those
    of the neighbors and the own one: a liar has one vote, whatever it sends. The scores are then
    dealt out anew, the largest to what the vote ranks best.

    Source: Mozaffari, Shejwalkar and Houmansadr 2023, "Every vote counts: ranking-based training
        of federated learning to resist poisoning attacks" (FRL).
    Differs: there is no server, so each peer elects from its neighborhood; the first scores are
        evenly spaced and not negative, so that the mask is that of the best ranks; and weights
        and scores are drawn from the portable family.

    Attributes:
        targets: Names, or last parts of names, of linear and convolutional layers; empty for all.
            They lose their biases. All else is frozen as the model comes with it.
    """

    name: ClassVar[str] = "ranks"

    targets: tuple[str, ...] = ()

    @override
    def __post_init__(self) -> None:
        RankedScores.__post_init__(self)
        if self.targets:
            check_names(self.targets, "method.targets")

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        freeze_all(model)
        names = mask_layers(model, self.targets, kept_ratio=self.kept_ratio, seed=seed)
        warn_of_buffers(model)
        return collect(
            model,
            names,
            method=self,
            head_names=frozenset(),
            frozen_digest=digest_frozen(model),
        )
