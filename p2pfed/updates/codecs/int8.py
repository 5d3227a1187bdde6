"""Blockwise linear quantization to signed bytes."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError
from p2pfed.updates.codec import Codec, check_length
from p2pfed.updates.codecs import blocks
from p2pfed.updates.construction import Constant, check_integer

_LEVELS: Final = 127  # symmetric, so that a value and its negative are equally precise


@final
@dataclass(frozen=True, slots=True)
class Int8(Codec):
    """Blocks of signed bytes, each block with the bfloat16 scale that its largest value needs.

    Layout: the scales of all blocks, little-endian bfloat16, then one byte per value. The scale of
    a block is the least bfloat16 that is no smaller than its largest magnitude / 127, so that no
    value has to be cut off; a block of zeros has scale 0. Absolute error at most half the scale,
    or 2^-142 where the division by 127 underflows.

    Source: Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", sec. 2.1.
    Differs: linear instead of dynamic quantization, and scales of 16 bits.

    Attributes:
        block: Values that share a scale. Smaller is more precise and costs 2 bytes per block.
    """

    name: ClassVar[str] = "int8"

    block: int = 256  # 1.008 bytes per value

    def __post_init__(self) -> None:
        check_integer(self.block, "codec.block", least=1)

    @property
    @override
    def contraction_min(self) -> float:
        return blocks.contraction_min(block=self.block, levels=_LEVELS)

    @override
    def encoded_bytes_max(self, size: int) -> int:
        return size + blocks.SCALE_BYTES * blocks.block_count(size, self.block)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        block = self._block(len(vector))
        scales = blocks.covering_scales(vector.numpy(), block=block, levels=_LEVELS)
        return blocks.error_of(scales, block=block, size=len(vector))

    @override
    def describe(self) -> dict[str, Constant]:
        return {"block": self.block}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        values, block = vector.numpy(), self._block(len(vector))
        scales = blocks.covering_scales(values, block=block, levels=_LEVELS)
        steps = np.empty((len(scales), block), dtype=np.int8)
        for which, chunk in blocks.chunks_of(values, block):
            steps[which] = blocks.quantize(chunk, scales[which])
        return b"".join((blocks.write_scales(scales), steps.ravel()[: len(values)].data))

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        check_length(self.name, data, self.encoded_bytes_max(size))
        block = self._block(size)
        border = blocks.SCALE_BYTES * blocks.block_count(size, block)
        scales = blocks.read_scales(self.name, data[:border])
        steps = np.frombuffer(data[border:], dtype=np.int8)
        if bool((steps == -128).any()):
            raise CodecError(f"{self.name}: -128 is outside the range of -127 to 127")
        blocks.check_steps(self.name, steps, scales, block=block, levels=_LEVELS)
        return torch.from_numpy(blocks.dequantize(steps, scales, block))

    def _block(self, size: int) -> int:
        # A stranger's genesis may name any block; the memory is that of the vector.
        return max(1, min(self.block, size))
