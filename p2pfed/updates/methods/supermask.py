"""Layers of which only a choice of frozen weights takes part, by scores that are trained."""

import math
from collections.abc import Mapping
from typing import Final, final

from torch import Tensor, nn
from torch.nn.utils import parametrize
from typing_extensions import override

from p2pfed.errors import ConfigError
from p2pfed.updates.portable import uniform_values
from robust.errors import RuleError
from robust.ranks.edge_popup import RELU_GAIN, choose, signed_constants
from robust.ranks.layer import RankedLayer
from robust.ranks.ranking import initial_scores, ranks_of

_KINDS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_INNER: Final = ".parametrizations.weight.original"
SCORES: Final = ".scores"


@final
class _Choice(nn.Module):
    """Turns scores into the weight that they choose."""

    def __init__(self, signs: Tensor, kept_ratio: float) -> None:
        super().__init__()
        # A buffer keeps float32 where frozen parameters are turned into bfloat16.
        self.register_buffer("signs", signs)
        self.signs: Tensor
        self.kept_ratio = kept_ratio

    @override
    def forward(self, scores: Tensor) -> Tensor:
        return choose(self.signs, scores, kept_ratio=self.kept_ratio)


def mask_layers(
    model: nn.Module,
    targets: tuple[str, ...],
    *,
    kept_ratio: float,
    seed: int,
    field: str = "method.targets",
) -> dict[str, str]:
    """Replace the weights of layers by frozen signs, of which trained scores choose some.

    Biases are removed.

    Args:
        model: Changed in place; all of it is frozen.
        targets: Names, or last parts of names, of linear or convolutional layers; all of these if
            empty.
        kept_ratio: Share of each layer's weights that take part.
        seed: The run's shared seed.
        field: Where the targets stand in the configuration, for errors.

    Returns:
        Name in the model to name in the specification of what trains.

    Raises:
        ConfigError: If a target is no such layer, or there is none.
    """
    names = {}
    for name, layer in _find(model, targets, field).items():
        weight = layer.get_parameter("weight")
        shape, device = tuple(weight.shape), weight.device
        magnitude = RELU_GAIN / math.sqrt(_fan_in(shape))
        signs = drawn_signs(name, shape, seed, magnitude=magnitude).to(device)
        layer.register_parameter("bias", None)
        parametrize.register_parametrization(layer, "weight", _Choice(signs, kept_ratio))
        inner = f"{name}{_INNER}" if name else _INNER.removeprefix(".")
        trained = model.get_parameter(inner)
        trained.data = drawn_scores(f"{name}{SCORES}", shape, seed).to(device)
        trained.requires_grad_(True)
        names[inner] = f"{name}{SCORES}" if name else SCORES.removeprefix(".")
    return names


def ranked_layers(shapes: Mapping[str, tuple[int, ...]]) -> tuple[RankedLayer, ...]:
    """Describe what is ranked by itself.

    Args:
        shapes: Of the tensors of scores, by name, in the order of the vector.

    Raises:
        ConfigError: If one is too large.
    """
    layers = []
    for name, shape in shapes.items():
        try:
            layers.append(RankedLayer.of(math.prod(shape), fan_in=_fan_in(shape)))
        except RuleError as error:
            raise ConfigError("method.targets", name, f"leave it out: {error}") from error
    return tuple(layers)


def drawn_scores(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Draw the first scores of a tensor of weights: a ranking, dealt out.

    Args:
        name: Of the scores; another name is another draw.
        shape: (outputs, inputs, ...).
        seed: The run's shared seed.

    Returns:
        That shape, float32, on the CPU, the same bits on every machine.

    Raises:
        ConfigError: If it is too large.
    """
    (layer,) = ranked_layers({name: shape})
    uniform = uniform_values(seed, name, count=layer.size, bound=1.0)
    scores = initial_scores(uniform, fan_in=_fan_in(shape))
    return layer.scores(ranks_of(scores)).view(shape)


def drawn_signs(name: str, shape: tuple[int, ...], seed: int, *, magnitude: float) -> Tensor:
    """Draw frozen weights of one magnitude, as `drawn_scores` does scores."""
    count = math.prod(shape)
    is_positive = uniform_values(seed, f"{name}.signs", count=count, bound=1.0) >= 0.0
    return signed_constants(is_positive, magnitude=magnitude).view(shape)


def _fan_in(shape: tuple[int, ...]) -> int:
    return math.prod(shape[1:])


def _find(model: nn.Module, targets: tuple[str, ...], field: str) -> dict[str, nn.Module]:
    layers = {name: it for name, it in model.named_modules() if isinstance(it, _KINDS)}
    known = ", ".join(layers) or "none"
    for target in targets:
        if not any(_is_called(name, target) for name in layers):
            fix = f"write linear or convolutional layers; the model has {known}"
            raise ConfigError(field, target, fix)
    if not layers:
        fix = "write another method: the model has no linear or convolutional layer"
        raise ConfigError("method.name", "ranks", fix)
    return {
        name: layer
        for name, layer in layers.items()
        if not targets or any(_is_called(name, target) for target in targets)
    }


def _is_called(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")
