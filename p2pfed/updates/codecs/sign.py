"""One bit per value: the sign, times the mean magnitude of its block."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.codec import Codec, check_length
from p2pfed.updates.codecs import blocks
from p2pfed.updates.construction import Constant, check_integer


@final
@dataclass(frozen=True, slots=True)
class Sign(Codec):
    """The sign of each value, and the mean magnitude of each block as the nearest bfloat16.

    Layout: the means of all blocks, then one bit per value, set for negative ones, lowest bit
    first. In a block whose mean is 0 no bit is set. A value becomes plus or minus the mean, which
    is the least squared error that one number per block allows; the error of a value is the
    distance of its magnitude from the mean.

    Source: Karimireddy et al. 2019, "Error feedback fixes SignSGD and other gradient compression
    schemes", eq. (2): the compressor (||x||_1 / d) sign(x).
    Differs: per block instead of per layer; zero counts as positive.

    Attributes:
        block: Values that share a mean. Smaller is more precise and costs 2 bytes per block.
    """

    name: ClassVar[str] = "sign"
    is_for_differences: ClassVar[bool] = True

    block: int = 256

    def __post_init__(self) -> None:
        check_integer(self.block, "codec.block", least=1)

    @property
    @override
    def contraction_min(self) -> float:
        # ||x||_1^2 / (B ||x||^2), least for a single spike; the factor is for the rounded mean.
        return (1 - 2.0**-16) / self.block

    @property
    @override
    def gossip_step_max(self) -> float:
        return 0.3

    @override
    def encoded_bytes_max(self, size: int) -> int:
        return blocks.SCALE_BYTES * blocks.block_count(size, self.block) + (size + 7) // 8

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        block = self._block(len(vector))
        means = torch.from_numpy(self._means(vector.numpy(), block))
        return (vector.abs() - means.repeat_interleave(block)[: len(vector)]).abs()

    @override
    def describe(self) -> dict[str, Constant]:
        return {"block": self.block}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        values, block = vector.numpy(), self._block(len(vector))
        means = self._means(values, block)
        is_negative = values < 0
        for index in np.flatnonzero(means == 0):
            is_negative[index * block : (index + 1) * block] = False
        return blocks.write_scales(means) + np.packbits(is_negative, bitorder="little").tobytes()

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        check_length(self.name, data, self.encoded_bytes_max(size))
        block = self._block(size)
        border = blocks.SCALE_BYTES * blocks.block_count(size, block)
        means = blocks.read_scales(self.name, data[:border])
        packed = np.frombuffer(data[border:], dtype=np.uint8)
        bits = np.unpackbits(packed, bitorder="little").view(np.int8)
        if bool(bits[size:].any()):
            raise CodecError(f"{self.name}: a bit behind the last value is set")
        blocks.check_steps(self.name, bits[:size], means, block=block)
        signs = np.subtract(1, np.left_shift(bits, 1, out=bits), out=bits)[:size]
        return torch.from_numpy(blocks.dequantize(signs, means, block))

    def _means(self, values: NDArray[np.float32], block: int) -> NDArray[np.float32]:
        sums = np.empty(blocks.block_count(len(values), block))
        for which, chunk in blocks.chunks_of(values, block):
            np.abs(chunk).sum(axis=1, dtype=np.float64, out=sums[which])
        counts = np.full(len(sums), block)
        counts[-1:] -= len(sums) * block - len(values)
        means = blocks.rounded_scales(sums / counts)
        if not bool(np.isfinite(means).all()):
            raise LocalError(f"{self.name}: a mean is beyond the range of bfloat16")
        return means

    def _block(self, size: int) -> int:
        # A stranger's genesis may name any block; the memory is that of the vector.
        return max(1, min(self.block, size))
