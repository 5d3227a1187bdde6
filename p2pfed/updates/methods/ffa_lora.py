"""The method `ffa-lora`: low-rank adapters of which one factor is frozen at a common value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor
from typing_extensions import override

from p2pfed.updates.method import Gram
from p2pfed.updates.methods.low_rank import LowRank, common_factor_gram
from p2pfed.updates.specification import ParameterSpecification


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FfaLora(LowRank):
    """Low-rank adapters whose A is the same at all peers for ever; only B trains and travels.

    The change (alpha / rank) B A is linear in B, so that any averaging of the B is that of the
    changes, exactly, however long peers trained apart. It costs half the bytes of `lora` where a
    layer is square, and reaches fewer changes: twice the rank is a fair comparison.

    Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA).
    Differs: A is drawn from the portable family instead of by torch, and so never travels.
    """

    name: ClassVar[str] = "ffa-lora"
    trains_a: ClassVar[bool] = False

    @override
    def gram(
        self, specification: ParameterSpecification, initial: Tensor, *, fixed: Mapping[str, Tensor]
    ) -> Gram | None:
        return common_factor_gram(specification, fixed, scale=self.scale)
