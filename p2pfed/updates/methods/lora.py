"""The method `lora`: low-rank adapters, both of whose factors train and travel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor
from typing_extensions import override

from p2pfed.updates.method import Gram
from p2pfed.updates.methods.low_rank import LowRank, factor_pairs
from p2pfed.updates.product_gram import ProductGeometry
from p2pfed.updates.specification import ParameterSpecification


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lora(LowRank):
    """Low-rank adapters both of whose factors are averaged, one by one.

    This is close to averaging the products as long as peers mix often: two peers that mix with
    weight g are off by g (1 - g) (B1 - B2)(A1 - A2).

    Source: Hu et al. 2021, "LoRA"; factor averaging: Zhang et al. 2023, "Towards building the
    federated GPT" (FedIT).
    """

    name: ClassVar[str] = "lora"

    @override
    def gram(
        self, specification: ParameterSpecification, initial: Tensor, *, fixed: Mapping[str, Tensor]
    ) -> Gram | None:
        return ProductGeometry(specification, factor_pairs(specification), self.scale, initial)
