"""Rounding to bfloat16, and an entropy coder for its exponents."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LocalError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.blocks import CHUNK_VALUES
from p2pfed.updates.codecs.entropy import compress, compressed_bytes_max, decompress
from p2pfed.updates.construction import Constant

_MAGNITUDE: Final = 0x7FFF
_INFINITY: Final = 0x7F80  # NaN above it


@final
@dataclass(frozen=True, slots=True)
class BFloat16(Codec):
    """Values rounded to bfloat16, high bytes before low bytes, compressed by zstd.

    The high byte holds the sign and most of the exponent, which repeat; the low byte holds mostly
    mantissa, which does not. Apart, the first half compresses.

    Relative error at most 2^-8 (half a unit of an 8-bit significand), absolute 2^-133 near zero.
    """

    name: ClassVar[str] = "bfloat16"

    @property
    @override
    def contraction_min(self) -> float:
        return 1 - 2.0**-16

    @override
    def encoded_bytes_max(self, size: int) -> int:
        return compressed_bytes_max(2 * size)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        return (vector.abs() * 2.0**-8).clamp(min=2.0**-133)

    @override
    def describe(self) -> dict[str, Constant]:
        return {}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        planes = np.empty((2, len(vector)), dtype=np.uint8)
        for first in range(0, len(vector), CHUNK_VALUES):
            # To nearest, ties to even, on every device.
            rounded = vector[first : first + CHUNK_VALUES].to(torch.bfloat16)
            words = rounded.view(torch.int16).numpy().view(np.uint16)
            if int((words & _MAGNITUDE).max()) >= _INFINITY:
                raise LocalError(f"{self.name}: a value is beyond the range of bfloat16")
            planes[0, first : first + CHUNK_VALUES] = words >> 8
            planes[1, first : first + CHUNK_VALUES] = words & 0xFF
        return compress(planes.data)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        plain = decompress(self.name, data, 2 * size)
        high, low = np.frombuffer(plain, dtype=np.uint8).reshape(2, size)
        bits = np.empty(size, dtype=np.uint32)
        for first in range(0, size, CHUNK_VALUES):
            words = high[first : first + CHUNK_VALUES].astype(np.uint16) << np.uint16(8)
            words |= low[first : first + CHUNK_VALUES]
            part = bits[first : first + CHUNK_VALUES]
            np.left_shift(words, np.uint32(16), out=part, dtype=np.uint32)
        return torch.from_numpy(bits.view(np.float32))
