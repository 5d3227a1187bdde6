"""The method `full`: everything trains and travels."""

from dataclasses import asdict, dataclass
from typing import ClassVar, final

from torch import nn
from typing_extensions import override

from p2pfed.updates.construction import Constant, check_choice
from p2pfed.updates.method import (
    INITIALS,
    AdaptedModel,
    Method,
    collect,
    digest_frozen,
    initialize,
    warn_of_buffers,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Full(Method):
    """Every parameter that requires gradients trains and travels.

    Running statistics of normalization layers stay local, with a warning.

    Attributes:
        initial: `portable` draws again what the task's model drew, with the same result on every
            machine. It would wipe out pretrained weights: `given` keeps the values that the model
            comes with, which then have to be the same on all peers.
    """

    name: ClassVar[str] = "full"

    initial: str = "portable"

    def __post_init__(self) -> None:
        check_choice(self.initial, "method.initial", INITIALS)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        warn_of_buffers(model)
        adapted = collect(
            model, {}, method=self, head_names=frozenset(), frozen_digest=digest_frozen(model)
        )
        if self.initial == "portable":
            initialize(adapted, frozenset(adapted.trainable), seed=seed)
        return adapted

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)
