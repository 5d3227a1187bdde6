"""Makes a library that draws from torch's generators draw what every machine draws alike."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from p2pfed.errors import LocalError
from p2pfed.updates.portable import mix, stream_key

_BITS: Final = 24  # of a uniform value, as float32 has
_TERMS: Final = 12  # uniform values whose sum has the variance 1
_PIECE: Final = 1 << 16  # normal values at a time, so that their terms stay in the cache

_aten: Final = torch.ops.aten


@final
class PortableDraws(TorchDispatchMode):
    """Replaces every random operation of torch inside of a `with` block.

    The draws are numbered as they come: the n-th belongs to the seed and n alone, whatever torch's
    generators hold. Uniform values are multiples of 2^-24, scaled in float64 and rounded once.
    Normal values are sums of twelve of them, which need no logarithm or cosine, whose last bits
    differ between machines.

    Integers that come from a generator that the library seeded itself stay as they are: torch
    draws them with integer operations alone, and libraries repeat them when they load a file.

    Source: Irwin 1927, Hall 1927, on sums of uniform variables.

    Args:
        seed: In [0, 2^64).
        label: What the values are for.
    """

    def __init__(self, seed: int, label: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._label = label
        self._count = 0

    @override
    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute one operation.

        Raises:
            LocalError: If it draws in a way that has no portable form here.
        """
        named = dict(kwargs or {})
        is_random = torch.Tag.nondeterministic_seeded in func.tags
        is_dropout_like = is_random and func not in _DRAWS and func not in _SEEDED_INTEGERS
        if is_dropout_like:
            raise LocalError(f"{func} draws in a way that is not the same on every machine")
        if func not in _DRAWS:
            return func(*args, **named)
        named.pop("generator", None)
        key = stream_key(self._seed, f"{self._label} {self._count}")
        self._count += 1
        return _DRAWS[func](key, *args, **named)


def _bits(key: int, start: int, count: int) -> NDArray[np.uint64]:
    return mix(key, np.arange(start, start + count, dtype=np.uint64))


def _uniform(key: int, count: int, low: float, high: float) -> Tensor:
    share = (_bits(key, 0, count) >> np.uint64(64 - _BITS)).astype(np.float64) / (1 << _BITS)
    return torch.from_numpy((low + (high - low) * share).astype(np.float32))


def _normal(key: int, count: int, mean: float, deviation: float) -> Tensor:
    values = np.empty(count, dtype=np.float32)
    for start in range(0, count, _PIECE):
        piece = values[start : start + _PIECE]
        bits = _bits(key, _TERMS * start, _TERMS * len(piece)) >> np.uint64(64 - _BITS)
        whole = bits.reshape(-1, _TERMS).sum(axis=1)  # of integers: exact
        piece[:] = mean + deviation * (whole.astype(np.float64) / (1 << _BITS) - _TERMS / 2)
    return torch.from_numpy(values)


def _fill_uniform(key: int, tensor: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    return tensor.copy_(_uniform(key, tensor.numel(), low, high).view(tensor.shape))


def _fill_normal(key: int, tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return tensor.copy_(_normal(key, tensor.numel(), mean, std).view(tensor.shape))


def _rand(key: int, size: Sequence[int], **options: Any) -> Tensor:
    return _uniform(key, prod(size), 0.0, 1.0).view(*size).to(**_places(options))


def _randn(key: int, size: Sequence[int], **options: Any) -> Tensor:
    return _normal(key, prod(size), 0.0, 1.0).view(*size).to(**_places(options))


def _normal_of_size(
    key: int, mean: float, std: float, size: Sequence[int], **options: Any
) -> Tensor:
    return _normal(key, prod(size), mean, std).view(*size).to(**_places(options))


def _rand_like(key: int, like: Tensor, **options: Any) -> Tensor:
    return _rand(key, like.shape, **{"dtype": like.dtype, "device": like.device, **options})


def _randn_like(key: int, like: Tensor, **options: Any) -> Tensor:
    return _randn(key, like.shape, **{"dtype": like.dtype, "device": like.device, **options})


def _randint(key: int, high: int, size: Sequence[int], **options: Any) -> Tensor:
    return _randint_from(key, 0, high, size, **options)


def _randint_from(key: int, low: int, high: int, size: Sequence[int], **options: Any) -> Tensor:
    values = (_bits(key, 0, prod(size)) % np.uint64(high - low)).astype(np.int64) + low
    return torch.from_numpy(values).view(*size).to(**_places(options))


def _randperm(key: int, count: int, **options: Any) -> Tensor:
    return torch.from_numpy(np.argsort(_bits(key, 0, count), kind="stable")).to(**_places(options))


def _places(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what says where and in which type a new tensor is wanted."""
    return {name: options[name] for name in ("dtype", "device") if options.get(name) is not None}


_DRAWS: Final[Mapping[Any, Callable[..., Tensor]]] = {
    _aten.uniform_.default: _fill_uniform,
    _aten.normal_.default: _fill_normal,
    _aten.rand.default: _rand,
    _aten.rand.generator: _rand,
    _aten.rand_like.default: _rand_like,
    _aten.randn.default: _randn,
    _aten.randn.generator: _randn,
    _aten.randn_like.default: _randn_like,
    _aten.normal.float_float: _normal_of_size,
    _aten.randint.default: _randint,
    _aten.randint.low: _randint_from,
    _aten.randperm.default: _randperm,
}

_SEEDED_INTEGERS: Final = frozenset(
    {_aten.randint.generator, _aten.randint.low_generator, _aten.randperm.generator}
)
