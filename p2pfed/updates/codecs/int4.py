"""Blockwise linear quantization to half bytes."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError, ConfigError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import blocks, nibbles
from p2pfed.updates.codecs.entropy import compress, compressed_bytes_max, decompress
from p2pfed.updates.construction import Constant, check_integer

_LEVELS: Final = 7  # symmetric, so that a value and its negative are equally precise


@final
@dataclass(frozen=True, slots=True)
class Int4(Codec):
    """Blocks of integers from -7 to 7, each block with the bfloat16 scale that its largest needs.

    Layout: the scales of all blocks as in int8, then a zstd frame of the integers, two to a byte,
    the first in the lower half, negative ones as two's complement. Absolute error at most half
    the scale. Gaussian values take 3.8 bits at a relative error of 0.10.

    Source: Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", sec. 2.1.
    Differs: 4 bits, linear, and entropy coded.

    Attributes:
        block: Values that share a scale, even. Smaller is more precise and costs 2 bytes per block.
    """

    name: ClassVar[str] = "int4"
    is_for_differences: ClassVar[bool] = True

    block: int = 64

    def __post_init__(self) -> None:
        check_integer(self.block, "codec.block", least=2)
        if self.block % 2:
            raise ConfigError("codec.block", self.block, "write an even integer")

    @property
    @override
    def contraction_min(self) -> float:
        return blocks.contraction_min(block=self.block, levels=_LEVELS)

    @override
    def encoded_bytes_max(self, size: int) -> int:
        scale_bytes = blocks.SCALE_BYTES * blocks.block_count(size, self.block)
        return scale_bytes + compressed_bytes_max(nibbles.packed_bytes(size))

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
        packed = np.empty((len(scales), block // 2), dtype=np.uint8)
        for which, chunk in blocks.chunks_of(values, block):
            packed[which] = nibbles.pack(blocks.quantize(chunk, scales[which]))
        plain = packed.ravel()[: nibbles.packed_bytes(len(values))]
        return blocks.write_scales(scales) + compress(plain.data)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        block = self._block(size)
        border = blocks.SCALE_BYTES * blocks.block_count(size, block)
        if len(data) < border:
            raise CodecError(f"{self.name}: {len(data)} bytes, scales alone are {border}")
        scales = blocks.read_scales(self.name, data[:border])
        plain = decompress(self.name, data[border:], nibbles.packed_bytes(size))
        steps = self._read_steps(plain, size)
        blocks.check_steps(self.name, steps, scales, block=block, levels=_LEVELS)
        return torch.from_numpy(blocks.dequantize(steps, scales, block))

    def _read_steps(self, plain: bytes, size: int) -> NDArray[np.int8]:
        steps = nibbles.unpack(self.name, plain, size)
        if bool((steps == nibbles.LEAST).any()):
            raise CodecError(f"{self.name}: -8 is outside the range of -7 to 7")
        return steps

    def _block(self, size: int) -> int:
        # A stranger's genesis may name any block; the memory is that of the vector.
        return max(2, min(self.block, size + size % 2))
