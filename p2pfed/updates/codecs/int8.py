"""Blockwise linear quantization to signed bytes."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.codec import Codec, check_length
from p2pfed.updates.construction import Constant, check_integer

_INT8_MAX: Final = 127  # symmetric, so that a value and its negative are equally precise
_FLOAT16_MAX: Final = 65504.0


@final
@dataclass(frozen=True, slots=True)
class Int8(Codec):
    """Blocks of signed bytes, each block with the float16 scale that its largest value needs.

    Layout: the scales of all blocks, little-endian float16, then one byte per value. The scale of
    a block is the least float16 that is no smaller than its largest magnitude / 127, so that no
    value has to be cut off; a block of zeros has scale 0. Absolute error at most half the scale,
    or 2^-142 where the division by 127 underflows.

    Source: Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", sec. 2.1, with
    linear instead of dynamic quantization.

    Attributes:
        block: Values that share a scale. Smaller is more precise and costs 2 bytes per block.
    """

    name: ClassVar[str] = "int8"

    block: int = 256  # 1.008 bytes per value

    def __post_init__(self) -> None:
        check_integer(self.block, "codec.block", least=1)

    @override
    def encoded_bytes_max(self, size: int) -> int:
        return size + 2 * self._block_count(size)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        scales = torch.from_numpy(self._scales(vector.numpy()).astype(np.float32))
        # A ten-thousandth for the rounding of the division and the product in float32.
        return (scales.repeat_interleave(self.block)[: len(vector)] * 0.50005).clamp(min=2.0**-142)

    @override
    def describe(self) -> dict[str, Constant]:
        return {"block": self.block}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        values = vector.numpy()
        scales = self._scales(values)
        # Dividing by the stored scale is what makes the bound of the error hold.
        steps = np.repeat(scales.astype(np.float32), self.block)[: len(values)]
        quotients = np.divide(values, steps, out=np.zeros_like(values), where=steps > 0)
        values_bytes = np.rint(quotients).astype(np.int8).tobytes()
        return bytes(scales.astype("<f2").tobytes()) + bytes(values_bytes)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        check_length(self.name, data, self.encoded_bytes_max(size))
        scale_bytes = 2 * self._block_count(size)
        scales = np.frombuffer(data[:scale_bytes], dtype="<f2").astype(np.float32)
        if not bool(np.all(np.isfinite(scales) & ~np.signbit(scales))):
            raise CodecError(f"{self.name}: a scale is negative, NaN or infinite")
        quotients = np.frombuffer(data[scale_bytes:], dtype=np.int8)
        if bool(np.any(quotients == -128)):
            raise CodecError(f"{self.name}: -128 is outside the range of -127 to 127")
        values = quotients.astype(np.float32)
        values *= np.repeat(scales, self.block)[:size]
        return torch.from_numpy(values)

    def _block_count(self, size: int) -> int:
        return -(-size // self.block)

    def _scales(self, values: NDArray[np.float32]) -> NDArray[np.float16]:
        padded = np.zeros(self._block_count(len(values)) * self.block, dtype=np.float32)
        padded[: len(values)] = np.abs(values)
        wanted = padded.reshape(-1, self.block).max(axis=1, initial=0.0) / np.float32(_INT8_MAX)
        if bool(np.any(wanted > _FLOAT16_MAX)):
            raise LocalError(f"{self.name}: a value is beyond {_INT8_MAX * _FLOAT16_MAX}")
        scales = wanted.astype(np.float16)
        above = np.nextafter(scales, np.float16(np.inf))
        # Rounded down, the largest values would need more than 127 steps.
        rounded: NDArray[np.float16] = np.where(scales.astype(np.float32) < wanted, above, scales)
        return rounded
