"""All that later training of a model depends on: its vector, its optimizer, its statistics."""

from collections.abc import Iterator, Mapping
from typing import Final, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from p2pfed.errors import LocalError
from p2pfed.updates.method import AdaptedModel, local_statistics

VECTOR: Final = "vector"
_OPTIMIZER: Final = "optimizer"
_BUFFER: Final = "buffer"


@final
class LearnerState:
    """Copies and restores what a learner knows.

    Args:
        adapted: Its model; which buffers it has does not change.
        optimizer: Of the trainable parameters.
    """

    def __init__(self, adapted: AdaptedModel, optimizer: Optimizer) -> None:
        self._adapted = adapted
        self._optimizer = optimizer
        self._statistics = dict(local_statistics(adapted.model))

    @property
    def has_statistics(self) -> bool:
        """Whether the model keeps running statistics."""
        return bool(self._statistics)

    def shape(self) -> tuple[tuple[str, float | None], ...]:
        """Return what the optimizer keeps: the values of scalars, and only the names of others."""
        return tuple((key, None if it.ndim else float(it)) for key, it in self._optimized())

    def copy(self) -> dict[str, Tensor]:
        """Copy the vector, the optimizer's state and local statistics, on the CPU."""
        others = {key: value.clone() for key, value in self._others()}
        return {VECTOR: self._adapted.vector(), **others}

    def view(self) -> dict[str, Tensor]:
        """Return what `copy` does, to be read at once: later changes may show in it."""
        return {VECTOR: self._adapted.view(), **dict(self._others())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `copy` returned, to the same bits.

        Raises:
            LocalError: If it is the state of another model, method or step rule.
        """
        if VECTOR not in state:
            raise LocalError("the saved state has no vector")
        self._adapted.load_vector(state[VECTOR])
        self._optimizer.state.clear()
        for key, value in state.items():
            kind, _, rest = key.partition("/")
            if kind == _OPTIMIZER:
                self._load_optimizer_value(rest, value)
            elif kind == _BUFFER and rest in self._statistics:
                self._statistics[rest].copy_(value)
            elif kind != VECTOR:
                raise LocalError(f"the saved state has {key}, which this model does not know")

    def _others(self) -> Iterator[tuple[str, Tensor]]:
        """Name all but the vector, on the CPU."""
        for key, value in self._optimized():
            yield key, value.detach().cpu()
        for name, buffer in self._statistics.items():
            yield f"{_BUFFER}/{name}", buffer.detach().cpu()

    def _optimized(self) -> Iterator[tuple[str, Tensor]]:
        """Name what the optimizer keeps."""
        known = self._optimizer.state
        if not known:  # as of plain steps: saves a look for each parameter
            return
        for name, parameter in self._adapted.trainable.items():
            for key, value in known.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    yield optimizer_key(key, name), value

    def _load_optimizer_value(self, path: str, value: Tensor) -> None:
        key, _, name = path.partition("/")
        parameter = self._adapted.trainable.get(name)
        if parameter is None or value.shape not in (parameter.shape, torch.Size()):
            raise LocalError(f"the saved state of the optimizer does not fit parameter {name}")
        # Counters of steps are scalars and stay on the CPU, where torch keeps them.
        device = parameter.device if value.shape == parameter.shape else value.device
        self._optimizer.state[parameter][key] = value.to(device, copy=True)


def optimizer_key(key: str, name: str) -> str:
    """Return under what a state has what an optimizer keeps as `key` of a parameter."""
    return f"{_OPTIMIZER}/{key}/{name}"


def split_optimizer_key(place: str) -> tuple[str, str]:
    """Return the key and the name that `optimizer_key` was given."""
    _, key, name = place.split("/", 2)
    return key, name
