"""The method `lora-fair`: `lora`, with what averaging its factors loses put back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor
from typing_extensions import override

from p2pfed.updates.construction import check_number
from p2pfed.updates.covariance import CovarianceCorrection
from p2pfed.updates.method import Correction, Gram
from p2pfed.updates.methods.low_rank import LowRank, factor_pairs
from p2pfed.updates.product_gram import ProductGeometry
from p2pfed.updates.specification import ParameterSpecification


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFair(LowRank):
    """Low-rank adapters whose B is corrected after mixing; on the wire as `lora`.

    The mixed change is no further from the average of the peers' changes than that of `lora` is,
    whatever the rule; see `p2pfed.updates.covariance`.

    Attributes:
        ridge: Above 0; the larger, the smaller the correction.
    """

    name: ClassVar[str] = "lora-fair"

    ridge: float = 0.01  # as in the paper; A A^T starts at about a third of the identity

    @override
    def __post_init__(self) -> None:
        LowRank.__post_init__(self)
        check_number(self.ridge, "method.ridge", above=0.0)
        object.__setattr__(self, "ridge", float(self.ridge))

    @override
    def gram(
        self, specification: ParameterSpecification, initial: Tensor, *, fixed: Mapping[str, Tensor]
    ) -> Gram | None:
        return ProductGeometry(specification, factor_pairs(specification), self.scale, initial)

    @override
    def correction(self, specification: ParameterSpecification) -> Correction | None:
        return CovarianceCorrection(specification, factor_pairs(specification), self.ridge)
