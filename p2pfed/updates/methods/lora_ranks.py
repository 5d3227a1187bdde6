"""The method `lora-ranks`: low-rank adapters whose factors are chosen from frozen signs."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from p2pfed.updates.construction import check_integer, check_names, check_number
from p2pfed.updates.method import (
    AdaptedModel,
    collect,
    digest_frozen,
    freeze_all,
    warn_of_buffers,
)
from p2pfed.updates.methods.ranked import RankedScores
from p2pfed.updates.methods.supermask import SCORES, drawn_scores, drawn_signs, mask_layers
from p2pfed.updates.methods.wrapping import WrappedLinear, wrap_layers
from robust.ranks.edge_popup import choose


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoraRanks(RankedScores):
    """The change of a weight is (B M_B) (A M_A) of frozen signs, and the masks M are voted on.

    As `Ranks`, with low-rank factors beside a base that stays as it is. The factors never move,
    so that an entry means the same at all peers, which those of trained adapters do not.

    Source: Hu et al. 2022, "LoRA: low-rank adaptation of large language models"; Mozaffari,
        Shejwalkar and Houmansadr 2023, "Every vote counts: ranking-based training of federated
        learning to resist poisoning attacks", for the masks and their vote.
    Differs: B is not 0, because a mask of zeros chooses nothing; so the change is not 0 at the
        start.

    Attributes:
        rank: Columns of B.
        magnitude: Of the entries of B; those of A are 1 / sqrt(rank). The first change of a weight
            has about kept_ratio times this as its standard deviation.
        targets: Names, or last parts of names, of the linear layers that get adapters.
        modules: Linear or convolutional layers whose own weights are replaced and masked as by
            `ranks`, such as a classification head; may be none.
    """

    name: ClassVar[str] = "lora-ranks"

    rank: int = 8
    magnitude: float = 0.05
    targets: tuple[str, ...] = ("query", "value")
    modules: tuple[str, ...] = ("head",)

    @override
    def __post_init__(self) -> None:
        RankedScores.__post_init__(self)
        check_integer(self.rank, "method.rank", least=1)
        check_number(self.magnitude, "method.magnitude", above=0.0)
        object.__setattr__(self, "magnitude", float(self.magnitude))
        check_names(self.targets, "method.targets")
        if self.modules:
            check_names(self.modules, "method.modules")

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        freeze_all(model)

        def make(name: str, layer: nn.Linear) -> WrappedLinear:
            return ChosenFactors(name, layer, self, seed=seed)

        wrap_layers(model, self.targets, make)
        names = {}
        if self.modules:
            names = mask_layers(
                model,
                self.modules,
                kept_ratio=self.kept_ratio,
                seed=seed,
                field="method.modules",
            )
        warn_of_buffers(model)
        return collect(
            model,
            names,
            method=self,
            head_names=frozenset(),
            frozen_digest=digest_frozen(model),
        )


@final
class ChosenFactors(WrappedLinear):
    """A linear layer plus a product of two factors of which only chosen entries take part.

    Args:
        name: Of the layer; decides what is drawn.
        base: The layer, frozen.
        method: Rank, magnitude and share of the entries.
        seed: The run's shared seed.
    """

    signs_A: Tensor
    signs_B: Tensor

    def __init__(self, name: str, base: nn.Linear, method: LoraRanks, *, seed: int) -> None:
        super().__init__(base)
        device = base.weight.device
        magnitudes = {"A": 1.0 / math.sqrt(method.rank), "B": method.magnitude}
        shapes = {"A": (method.rank, base.in_features), "B": (base.out_features, method.rank)}
        for factor, shape in shapes.items():
            label = f"{name}.{factor}"
            signs = drawn_signs(label, shape, seed, magnitude=magnitudes[factor])
            # Buffers keep float32 where frozen parameters are turned into bfloat16.
            self.register_buffer(f"signs_{factor}", signs.to(device))
            scores = nn.Parameter(drawn_scores(f"{label}{SCORES}", shape, seed).to(device))
            self.register_parameter(f"scores_{factor}", scores)
        self.kept_ratio = method.kept_ratio

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the layer and what was added to it."""
        outputs: Tensor = self.base(inputs)
        scores = self.get_parameter("scores_A"), self.get_parameter("scores_B")
        right = choose(self.signs_A, scores[0], kept_ratio=self.kept_ratio)
        left = choose(self.signs_B, scores[1], kept_ratio=self.kept_ratio)
        added = functional.linear(functional.linear(inputs.to(right.dtype), right), left)
        return outputs + added.to(outputs.dtype)
