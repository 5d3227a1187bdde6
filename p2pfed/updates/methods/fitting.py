"""Says at once everything about a method's constants that does not fit a model, and what would."""

import json
import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from torch import nn

from p2pfed.errors import ConfigError
from p2pfed.updates.methods.wrapping import is_called

_log = logging.getLogger(__name__)

_NAMES_SHOWN: Final = 12  # guess: what people read of a long list
_SHAPES_SHOWN: Final = 3


def check_fit(
    model: nn.Module,
    method: str,
    *,
    targets: Sequence[str],
    modules: Sequence[str],
    rank: int | None = None,
    needs_every_target: bool = True,
) -> None:
    """Refuse targets that are not in a model, and constants of which several do not fit it.

    Where only modules or the rank do not, nothing is raised: whoever uses them says so, and knows
    better why.

    Args:
        model: As it is before it is adapted.
        method: The method's name.
        targets: Names, or last parts of names, of linear layers.
        modules: Names of modules that train whole.
        rank: If no layer may have a smaller side.
        needs_every_target: Whether each of the targets has to be there and linear, or one of them
            has to be there.

    Raises:
        ConfigError: If the targets or more than one do not, with constants that do.
    """
    linear = dict(_linear_layers(model))
    names = [name for name, _ in model.named_modules()]
    absent = [t for t in targets if not any(is_called(name, t) for name in names)]
    example_targets, example_modules = _example(list(linear))
    if not needs_every_target and len(absent) < len(targets):
        absent = []
    fitting = example_targets if absent else targets
    usable = [it for name, it in linear.items() if any(is_called(name, each) for each in fitting)]
    side = min((min(it.in_features, it.out_features) for it in usable), default=rank or 0)
    missing = [it for it in modules if not _has_parameters(model, it)]
    if absent and linear and not missing and (rank is None or rank <= side):
        fix = f"{json.dumps(absent)} are not there; {suggestion(model)}"
        raise ConfigError("method.targets", tuple(targets), fix)
    others = others_than_linear(model, targets) if needs_every_target else []
    if others and linear:
        fix = f"{', '.join(others)} is no linear layer; {suggestion(model)}"
        raise ConfigError("method.targets", tuple(targets), fix)
    problems = [f"targets {json.dumps(absent)} are not there"] if absent else []
    problems += [f"modules {json.dumps(missing)} are not there"] if missing else []
    problems += [f"rank {rank} is above {side}"] if rank is not None and rank > side else []
    if len(problems) < 2 or not linear:
        return
    example = f"targets = {json.dumps(list(fitting))}, "
    example += f"modules = {json.dumps(example_modules if missing else list(modules))}"
    example += "" if rank is None else f", rank = {min(rank, side)}"
    fix = f"does not fit the model: {'; '.join(problems)}; {_layers(model)}; for example {example}"
    raise ConfigError("method", method, fix)


def tell_of_rank(model: nn.Module, rank: int, targets: Sequence[str]) -> None:
    """Say once that adapters are larger than the layers that they stand beside.

    It is no error: all that the rank buys beyond a layer's smaller side is bytes.

    Args:
        model: As it is before it is adapted.
        rank: Of the adapters.
        targets: As of `check_fit`.
    """
    sides = {
        name: min(layer.in_features, layer.out_features)
        for name, layer in _linear_layers(model)
        if any(is_called(name, target) for target in targets)
    }
    larger = [name for name, side in sides.items() if rank > side]
    if larger:
        least = min(larger, key=lambda name: sides[name])
        _tell(
            f"method.rank = {rank} is above {sides[least]}, the smaller side of the layer "
            f'"{least}": more than that costs bytes, and adds nothing'
        )


@lru_cache(maxsize=64)  # a simulation adapts one model for each of its peers
def _tell(message: str) -> None:
    _log.warning(message)


def suggestion(model: nn.Module) -> str:
    """Return which linear layers there are to name as targets, and how."""
    targets, _ = _example([name for name, _ in _linear_layers(model)])
    return f"{_layers(model)}; for example targets = {json.dumps(targets)}"


def others_than_linear(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Return what targets name that is no linear layer."""
    return [
        name
        for name, module in model.named_modules()
        if any(is_called(name, target) for target in targets) and not isinstance(module, nn.Linear)
    ]


def _layers(model: nn.Module) -> str:
    return f"its linear layers, inputs x outputs, are {describe_layers(model)}"


def describe_layers(model: nn.Module) -> str:
    """Return the linear layers of a model by the last parts of their names, with their sizes."""
    sizes: dict[str, list[str]] = {}
    for name, layer in _linear_layers(model):
        shape = f"{layer.in_features}x{layer.out_features}"
        sizes.setdefault(name.rpartition(".")[2], []).append(shape)
    shown = [f"{last} ({_shapes(shapes)})" for last, shapes in sizes.items()]
    more = len(shown) - _NAMES_SHOWN
    return ", ".join(shown[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _shapes(shapes: Sequence[str]) -> str:
    different = list(dict.fromkeys(shapes))
    text = " or ".join(different[:_SHAPES_SHOWN])
    text += " or others" if len(different) > _SHAPES_SHOWN else ""
    return text if len(shapes) == 1 else f"{text}, {len(shapes)} layers"


def _example(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return targets and modules that fit: the last linear layer is taken for the head."""
    head = list(names[-1:]) if len(names) > 1 else []
    lasts = dict.fromkeys(name.rpartition(".")[2] for name in names if name not in head)
    # A last part that the head bears, too, would name a layer that trains whole.
    clear = [last for last in lasts if not any(is_called(name, last) for name in head)]
    targets = clear or [name for name in names if name not in head]
    return targets[:_NAMES_SHOWN], head


def _linear_layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in model.named_modules():
        parent = model.get_submodule(name.rpartition(".")[0])
        # torch's attention reads the weight of its linear layer and never calls it.
        if isinstance(module, nn.Linear) and name and not isinstance(parent, nn.MultiheadAttention):
            yield name, module


def _has_parameters(model: nn.Module, name: str) -> bool:
    module = dict(model.named_modules()).get(name)
    return module is not None and any(True for _ in module.parameters())
