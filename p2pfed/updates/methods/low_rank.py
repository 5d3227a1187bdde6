"""What the methods with low-rank adapters of peft have in common."""

from abc import ABC
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

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
from p2pfed.updates.methods.fitting import (
    check_fit,
    others_than_linear,
    suggestion,
    tell_of_rank,
)
from p2pfed.updates.methods.peft_wrapping import plain_name, trained_names, wrap
from p2pfed.updates.portable import initial_value
from p2pfed.updates.specification import ParameterEntry, ParameterSpecification
from p2pfed.updates.weighted_gram import Metric, WeightedGeometry

_A: Final = ".lora_A."
_B: Final = ".lora_B."


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank(Method, ABC):
    """Adapters beside linear layers, and some modules whole; the base is frozen.

    The change of a weight is (alpha / rank) B A. It starts at zero and from common factors,
    because (B, A) and (B G, G^-1 A) are the same change, and averaging the factors of the two
    would destroy it: A is drawn from the portable family and B is zero.

    Attributes:
        trains_a: Whether A trains and travels, or is frozen where it starts.
        rank: Columns of B.
        alpha: Scale; the change is alpha / rank times the product.
        targets: Names, or last parts of names, of the linear layers that get adapters.
        modules: Modules that train and travel whole, such as a classification head; may be none.
        initial: `portable` or `given`, as of `Full`, for `modules`.
    """

    trains_a: ClassVar[bool] = True

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

    @property
    @override
    def is_low_rank(self) -> bool:
        return True

    @property
    def scale(self) -> float:
        """What multiplies the products in the model."""
        return self.alpha / self.rank

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        check_fit(
            model,
            self.name,
            targets=self.targets,
            modules=self.modules,
            needs_every_target=False,  # peft takes those that are there
        )
        tell_of_rank(model, self.rank, self.targets)
        freeze_all(model)
        heads = unfreeze_modules(model, self.modules, field="method.modules")
        warn_of_buffers(model)
        digest = digest_frozen(model)  # before peft adds copies of the modules
        wrapped = self._wrap(model)
        fixed = self._start(wrapped, heads, seed)
        adapted = collect(
            wrapped,
            trained_names(wrapped),
            method=self,
            head_names=heads,
            frozen_digest=digest,
            fixed=fixed,
        )
        if self.initial == "portable":
            initialize(adapted, heads, seed=seed)
        return adapted

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)

    def _start(self, wrapped: nn.Module, heads: frozenset[str], seed: int) -> dict[str, Tensor]:
        """Give the factors their common start, and return those that are frozen there."""
        fixed: dict[str, Tensor] = {}
        for inner_name, parameter in wrapped.named_parameters():
            name = plain_name(inner_name)
            if not parameter.requires_grad or name in heads:
                continue
            if _A not in name and _B not in name:
                raise ConfigError("method.targets", self.targets, f"{name} is no linear layer")
            entry = ParameterEntry(name=name, shape=tuple(parameter.shape))
            with torch.no_grad():
                if _B in name:
                    parameter.zero_()
                else:
                    parameter.copy_(initial_value(entry, parameter, seed))
            if _A in name and not self.trains_a:
                parameter.requires_grad_(False)
                fixed[name] = parameter.detach().float().clone()
        return fixed

    def _wrap(self, model: nn.Module) -> nn.Module:
        from peft import LoraConfig  # seconds to import, and only here needed

        configuration = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # annotated int, computed as float
            target_modules=list(self.targets),
            modules_to_save=list(self.modules) or None,
            lora_dropout=0.0,
        )
        others = others_than_linear(model, self.targets)
        # peft adapts some of these as well, and refuses the rest by listing its own classes.
        fix = f"{', '.join(others)} is no linear layer; {suggestion(model)}" if others else ""
        return wrap(model, configuration, targets=self.targets, fix=fix)


def factor_pairs(specification: ParameterSpecification) -> dict[str, str]:
    """Map the name of each B that travels to the name of its A, which need not travel."""
    return {name: name.replace(_B, _A) for name in specification.names if _B in name}


def common_factor_gram(
    specification: ParameterSpecification, fixed: Mapping[str, Tensor], *, scale: float
) -> Gram:
    """Measure changes of weights of which B travels and A is the same at all peers.

    Args:
        specification: Of the vectors.
        fixed: The A, by name; a B whose A is missing counts with its own difference.
        scale: What multiplies the products.
    """
    metrics = {
        left: Metric(right=scale**2 * fixed[right].double() @ fixed[right].double().T)
        for left, right in factor_pairs(specification).items()
        if right in fixed
    }
    return WeightedGeometry(specification, metrics)
