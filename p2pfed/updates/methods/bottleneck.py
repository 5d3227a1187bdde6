"""The method `bottleneck`: small layers after a linear layer or beside it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

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
    Method,
    collect,
    digest_frozen,
    freeze_all,
    initialize,
    unfreeze_modules,
    warn_of_buffers,
)
from p2pfed.updates.methods.fitting import check_fit
from p2pfed.updates.methods.peft_wrapping import global_generator_kept
from p2pfed.updates.methods.wrapping import WrappedLinear, wrap_layers

PLACEMENTS: Final = ("series", "parallel")
ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "tanh": torch.tanh,
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck(Method):
    """Bottleneck adapters train and travel, and some modules whole; the base is frozen.

    In series, a layer's output y becomes y + scale up(activation(down(y))); in parallel, it becomes
    y + scale up(activation(down(x))) for the layer's input x. `up` starts at zero, so that all
    peers start as the base. Averages of what travels are close to those of what the adapters
    compute while peers mix often, and not exact: two layers that both travel are multiplied.

    Source: series: Houlsby et al. 2019, "Parameter-efficient transfer learning for NLP"; parallel:
    He et al. 2022, "Towards a unified view of parameter-efficient transfer learning"; both around
    chosen linear layers: Hu et al. 2023, "LLM-Adapters".
    Differs: no dropout, as in all training here.

    Attributes:
        placement: `series` or `parallel`.
        size: Values in the middle.
        activation: Between the two layers: `gelu`, `relu` or `tanh`.
        scale: Factor of what is added.
        targets: Names, or last parts of names, of linear layers.
        modules: Modules that train and travel whole, such as a classification head; may be none.
        initial: `portable` or `given`, as of `Full`, for `modules`.
    """

    name: ClassVar[str] = "bottleneck"

    placement: str = "series"
    size: int = 64
    activation: str = "tanh"
    scale: float = 1.0
    targets: tuple[str, ...] = ("query", "value")
    modules: tuple[str, ...] = ("head",)
    initial: str = "portable"

    def __post_init__(self) -> None:
        check_choice(self.placement, "method.placement", PLACEMENTS)
        check_integer(self.size, "method.size", least=1)
        check_choice(self.activation, "method.activation", tuple(ACTIVATIONS))
        check_number(self.scale, "method.scale", above=0.0)
        object.__setattr__(self, "scale", float(self.scale))
        check_names(self.targets, "method.targets")
        if self.modules:
            check_names(self.modules, "method.modules")
        check_choice(self.initial, "method.initial", INITIALS)

    @override
    def adapt(self, model: nn.Module, *, seed: int) -> AdaptedModel:
        check_fit(model, self.name, targets=self.targets, modules=self.modules)
        freeze_all(model)
        heads = unfreeze_modules(model, self.modules, field="method.modules")
        warn_of_buffers(model)
        digest = digest_frozen(model)
        with global_generator_kept():
            wrap_layers(model, self.targets, lambda _, layer: self._make(layer))
        adapted = collect(model, {}, method=self, head_names=heads, frozen_digest=digest)
        # What starts at zero, it leaves so.
        initialize(adapted, frozenset(adapted.trainable) - heads, seed=seed)
        if self.initial == "portable":
            initialize(adapted, heads, seed=seed)
        return adapted

    @override
    def describe(self) -> dict[str, Constant]:
        return asdict(self)

    def _make(self, layer: nn.Linear) -> WrappedLinear:
        made = InSeries if self.placement == "series" else InParallel
        return made(layer, self.size, activation=ACTIVATIONS[self.activation], scale=self.scale)


class BottleneckLinear(WrappedLinear):
    """A linear layer with a bottleneck somewhere; abstract.

    Args:
        base: The layer, frozen.
        width: Values that go into the bottleneck.
        size: Values in its middle.
        activation: What is between its layers.
        scale: Factor of what is added.
    """

    def __init__(
        self,
        base: nn.Linear,
        width: int,
        size: int,
        *,
        activation: Callable[[Tensor], Tensor],
        scale: float,
    ) -> None:
        super().__init__(base)
        device = base.weight.device
        self.adapter_down = nn.Linear(width, size, device=device)
        self.adapter_up = nn.Linear(size, base.out_features, device=device)
        for parameter in (self.adapter_down.bias, *self.adapter_up.parameters()):
            nn.init.zeros_(parameter)
        self._activation = activation
        self._scale = scale

    def bottleneck(self, inputs: Tensor) -> Tensor:
        """Compute what is added, in the type of the inputs."""
        middle = self._activation(self.adapter_down(inputs.to(self.adapter_down.weight.dtype)))
        added: Tensor = self._scale * self.adapter_up(middle)
        return added.to(inputs.dtype)


@final
class InSeries(BottleneckLinear):
    """Sends a layer's output through a bottleneck, and adds both.

    Args:
        base: The layer, frozen.
        size: Values in the middle.
        activation: What is between the bottleneck's layers.
        scale: Factor of what is added.
    """

    def __init__(
        self, base: nn.Linear, size: int, *, activation: Callable[[Tensor], Tensor], scale: float
    ) -> None:
        super().__init__(base, base.out_features, size, activation=activation, scale=scale)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the layer and what the bottleneck makes of it."""
        outputs: Tensor = self.base(inputs)
        return outputs + self.bottleneck(outputs)


@final
class InParallel(BottleneckLinear):
    """Sends a layer's input through a bottleneck, and adds that to the layer's output.

    Args:
        base: The layer, frozen.
        size: Values in the middle.
        activation: What is between the bottleneck's layers.
        scale: Factor of what is added.
    """

    def __init__(
        self, base: nn.Linear, size: int, *, activation: Callable[[Tensor], Tensor], scale: float
    ) -> None:
        super().__init__(base, base.in_features, size, activation=activation, scale=scale)

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the layer, and the bottleneck beside it."""
        outputs: Tensor = self.base(inputs)
        return outputs + self.bottleneck(inputs).to(outputs.dtype)
