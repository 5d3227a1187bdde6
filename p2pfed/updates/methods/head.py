"""The method `head`: some modules train and travel whole."""

from dataclasses import asdict, dataclass
from typing import ClassVar, final

from torch import nn
from typing_extensions import override

from p2pfed.updates.construction import Constant, check_choice, check_names
from p2pfed.updates.method import (
    INITIALS,
    AdaptedModel,
    Method,
    collect,
    digest_frozen,
    freeze_all,
    initialize,
    unfreeze_modules,
    warn_of_buffers,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Method):
    """Only some modules train and travel; the rest of the model is frozen.

    Attributes:
        modules: Their names in the model.
        initial: `portable` or `given`, as of `Full`.
    """

    name: ClassVar[str] = "head"

    modules: tuple[str, ...] = ("head",)
    initial: str = "portable"

    def __post_init__(self) -> None:
        check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        freeze_all(model)
        names = unfreeze_modules(model, self.modules, field="method.modules")
        warn_of_buffers(model)
        adapted = collect(
            model, {}, method=self, head_names=names, frozen_digest=digest_frozen(model)
        )
        if self.initial == "portable":
            initialize(adapted, names, seed=seed)
        return adapted

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)
