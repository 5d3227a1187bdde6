"""Integers from -8 to 7, two to a byte: the first in the lower half, as two's complement."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from p2pfed.errors import CodecError

LEAST: Final = -8

_HALVES: Final = ((np.arange(256)[:, None] >> np.array([0, 4])) & 15 ^ 8) - 8
# Both integers of a byte as one word, so that one look-up finds both.
_PAIRS: Final = np.ascontiguousarray(_HALVES.astype(np.int8)).view(np.uint16).ravel()


def packed_bytes(count: int) -> int:
    """Return the bytes of `count` integers."""
    return (count + 1) // 2


def pack(values: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Pack pairs along the last axis, which is of even length."""
    return ((values[..., 0::2] & 15) | (values[..., 1::2] << 4)).view(np.uint8)


def unpack(name: str, packed: bytes, count: int) -> NDArray[np.int8]:
    """Return `count` integers from as many bytes as they fill.

    Raises:
        CodecError: If the half behind the last integer is not 0.
    """
    values = _PAIRS[np.frombuffer(packed, dtype=np.uint8)].view(np.int8)
    if bool(values[count:].any()):
        raise CodecError(f"{name}: the half byte behind the last value is not 0")
    return values[:count]
