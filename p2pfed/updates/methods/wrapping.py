"""Putting small modules of our own around linear layers."""

from abc import ABC
from collections.abc import Callable, Iterator
from typing import cast

from torch import Tensor, nn

from p2pfed.errors import ConfigError


class WrappedLinear(nn.Module, ABC):
    """A frozen linear layer with something trainable around it.

    Args:
        base: The layer.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base

    # Models ask their layers for these.

    @property
    def weight(self) -> Tensor:
        """The layer's own weight, without what was added."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The layer's own bias."""
        return cast(Tensor | None, self.base.bias)

    @property
    def in_features(self) -> int:
        """How many values go in."""
        return self.base.in_features

    @property
    def out_features(self) -> int:
        """How many values come out."""
        return self.base.out_features


def wrap_layers(
    model: nn.Module, targets: tuple[str, ...], make: Callable[[str, nn.Linear], WrappedLinear]
) -> dict[str, WrappedLinear]:
    """Replace linear layers of a model.

    Args:
        model: Changed in place; its parameters are frozen, but for those that train whole.
        targets: Names, or last parts of names, of the layers.
        make: Name and layer to what takes its place.

    Returns:
        What was made, by the names of the layers.

    Raises:
        ConfigError: If a target is nowhere in the model or cannot be wrapped.
    """
    found = find_linear_layers(model, targets)
    made = {name: make(name, layer) for name, layer in found.items()}
    by_layer = {id(layer): made[name] for name, layer in found.items()}
    # A layer that stands in two places is one layer there too.
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if id(module) in by_layer:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, by_layer[id(module)])
    return made


def find_linear_layers(model: nn.Module, targets: tuple[str, ...]) -> dict[str, nn.Linear]:
    """Return the linear layers of these names, or last parts of names, in the model's order.

    Raises:
        ConfigError: If a target is nowhere in the model or cannot be wrapped.
    """
    for target in targets:
        if not any(is_called(name, target) for name, _ in model.named_modules()):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in _linear_names(model)}))
            raise ConfigError(
                "method.targets", target, f"write linear layers; the model has {known}"
            )
    layers: dict[str, nn.Linear] = {}
    for name, module in model.named_modules():
        if any(is_called(name, target) for target in targets):
            if not isinstance(module, nn.Linear) or not name:
                raise ConfigError("method.targets", targets, f"{name} is no linear layer")
            _check_layer(model, name, module, targets)
            layers[name] = module
    return layers


def _check_layer(model: nn.Module, name: str, layer: nn.Linear, targets: tuple[str, ...]) -> None:
    problem = ""
    if isinstance(model.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention):
        problem = "torch's MultiheadAttention reads its weight and never calls it"
    if layer.weight.requires_grad:
        problem = "method.modules trains it whole"
    if problem:
        raise ConfigError("method.targets", targets, f"remove {name}: {problem}")


def _linear_names(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            yield name


def is_called(name: str, target: str) -> bool:
    """Return whether a name, or its last parts, is a target."""
    return name == target or name.endswith(f".{target}")
