"""Where a model computes: the one place that knows what devices are called."""

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, final

import torch

from p2pfed.errors import ConfigError
from p2pfed.updates.construction import one_of

CPU: Final = torch.device("cpu")

_NAME: Final = re.compile(r"auto|cpu|mps|meta|cuda(:\d+)?")

# float16 is left out: its range is too small for gradients without loss scaling.
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where and in which precision a model computes.

    Attributes:
        device: Where its parameters lie.
        dtype: Of the frozen parameters and the matrix products. What trains is always float32.
    """

    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def computing(self) -> AbstractContextManager[object]:
        """Return the context in which a forward pass runs in this precision."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def resolve_placement(device: str = "auto", dtype: str = "float32") -> Placement:
    """Turn the two names of a run file into a placement.

    Raises:
        ConfigError: If a name is unknown or the device is not on this machine.
    """
    return Placement(device=resolve_device(device), dtype=resolve_dtype(dtype))


def resolve_device(name: str) -> torch.device:
    """Find a device by its name in the run file.

    Args:
        name: `auto` (an accelerator if there is one), `cpu`, `cuda`, `cuda:N`, `mps`, or `meta`,
            which computes shapes and no values.

    Raises:
        ConfigError: If the name is unknown or the device is not on this machine.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("device", name, "write auto, cpu, cuda:N or mps")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps") if torch.backends.mps.is_available() else CPU
    kind, _, index = name.partition(":")
    if kind == "cuda":
        # Compared as a number first: torch would wrap a large index around.
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise ConfigError("device", name, f"this machine has {count} CUDA devices; write auto")
        return torch.device(kind, int(index or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device", name, "this machine has no MPS device; write auto")
    return torch.device(kind)


def resolve_dtype(name: str) -> torch.dtype:
    """Find a precision by its name in the run file: `float32` or `bfloat16`.

    Raises:
        ConfigError: If it is another.
    """
    if name not in _DTYPES:
        raise ConfigError("dtype", name, one_of(tuple(_DTYPES), name))
    return _DTYPES[name]
