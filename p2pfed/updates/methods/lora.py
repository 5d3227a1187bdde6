"""The method `lora`: low-rank adapters, both of whose factors train and travel."""

from dataclasses import asdict, dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import (
    Constant,
    check_choice,
    check_integer,
    check_names,
    check_number,
)
from p2pfed.updates.method import (
    INITIALS,
    AdaptedModel,
    Gram,
    Method,
    collect,
    digest_frozen,
    freeze_all,
    initialize,
    unfreeze_modules,
    warn_of_buffers,
)
from p2pfed.updates.methods.peft_wrapping import trained_names, wrap
from p2pfed.updates.product_gram import ProductGeometry
from p2pfed.updates.specification import ParameterSpecification

_A: Final = ".lora_A."
_B: Final = ".lora_B."


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lora(Method):
    """Low-rank adapters beside linear layers, and some modules whole; the base is frozen.

    The change of a weight is (alpha / rank) B A. Both factors travel and are averaged one by one,
    which is close to averaging the products as long as peers mix often: two peers that mix with
    weight g are off by g (1 - g) (B1 - B2)(A1 - A2). It needs a common start, because (B, A) and
    (B G, G^-1 A) are the same change: A is drawn from the portable family and B is zero.

    Source: Hu et al. 2021, "LoRA"; factor averaging: Zhang et al. 2023, "Towards building the
    federated GPT" (FedIT).

    Attributes:
        rank: Columns of B.
        alpha: Scale; the change is alpha / rank times the product.
        targets: Names, or last parts of names, of the linear layers that get adapters.
        modules: Modules that train and travel whole, such as a classification head; may be none.
        initial: As of `Full`, for `modules`.
    """

    name: ClassVar[str] = "lora"

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("query", "value")
    modules: tuple[str, ...] = ("head",)
    initial: str = "portable"

    def __post_init__(self) -> None:
        check_integer(self.rank, "method.rank", least=1)
        check_number(self.alpha, "method.alpha", above=0.0)
        # 16 and 16.0 are the same constant, and must be the same bytes in the genesis.
        object.__setattr__(self, "alpha", float(self.alpha))
        check_names(self.targets, "method.targets")
        if self.modules:
            check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        freeze_all(model)
        heads = unfreeze_modules(model, self.modules, field="method.modules")
        warn_of_buffers(model)
        digest = digest_frozen(model)  # before peft adds copies of the modules
        wrapped = self._wrap(model)
        adapted = collect(
            wrapped,
            trained_names(wrapped),
            method=self,
            head_names=heads,
            frozen_digest=digest,
        )
        strangers = [
            name for name in adapted.trainable if name not in heads and not _is_factor(name)
        ]
        if strangers:
            raise ConfigError("method.targets", self.targets, f"{strangers[0]} is no linear layer")
        factors = frozenset(adapted.trainable) - heads
        zero = frozenset(name for name in factors if _B in name)
        initialize(adapted, factors - zero, seed=seed)
        with torch.no_grad():
            for name in zero:
                adapted.trainable[name].zero_()
        if self.initial == "portable":
            initialize(adapted, heads, seed=seed)
        return adapted

    @override
    def gram(self, specification: ParameterSpecification, initial: Tensor) -> Gram | None:
        pairs = {name: name.replace(_B, _A) for name in specification.names if _B in name}
        return ProductGeometry(specification, pairs, self.alpha / self.rank, initial)

    def _wrap(self, model: nn.Module) -> nn.Module:
        from peft import LoraConfig  # seconds to import, and only here needed

        configuration = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # annotated int, computed as float
            target_modules=list(self.targets),
            modules_to_save=list(self.modules) or None,
            lora_dropout=0.0,
        )
        return wrap(model, configuration, targets=self.targets)

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)


def _is_factor(name: str) -> bool:
    return _A in name or _B in name
