"""Rounding to bfloat16, and an entropy coder for its exponents."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import LocalError
from p2pfed.updates.codec import Codec, is_finite
from p2pfed.updates.codecs.entropy import compress, compressed_bytes_max, decompress
from p2pfed.updates.construction import Constant


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
        rounded = vector.to(torch.bfloat16)  # to nearest, ties to even, on every device
        if not is_finite(rounded):
            raise LocalError(f"{self.name}: a value is beyond the range of bfloat16")
        words = rounded.view(torch.int16).numpy().astype("<i2", copy=False)
        pairs = words.view(np.uint8).reshape(-1, 2)
        planes = np.empty((2, len(vector)), dtype=np.uint8)
        planes[0], planes[1] = pairs[:, 1], pairs[:, 0]
        return compress(planes.data)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        plain = decompress(self.name, data, 2 * size)
        planes = np.frombuffer(plain, dtype=np.uint8).reshape(2, size)
        pairs = np.empty((size, 2), dtype=np.uint8)
        pairs[:, 1], pairs[:, 0] = planes
        words = pairs.view("<i2").ravel().astype(np.int16, copy=False)
        return torch.from_numpy(words).view(torch.bfloat16).float()
