"""Each codec beside the plain library call that does the bulk of its work."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import zstandard
from torch import Tensor

from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import (
    BFloat16,
    Float32,
    Int4,
    Int8,
    RandK,
    Sign,
    Sparse,
    TopK,
    Uniform,
)

Call = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One codec, what it is measured beside, and how fast it has to be.

    Attributes:
        codec: The codec.
        plain: What the plain calls are, in words.
        make_plain: Prepares them for a vector: one for encoding, one for decoding.
        mb_per_s_min: Megabytes of float32 per second wanted of both directions, or None.
    """

    codec: Codec
    plain: str
    make_plain: Callable[[Tensor], tuple[Call, Call]]
    mb_per_s_min: float | None = None

    @property
    def title(self) -> str:
        """Name and constants."""
        constants = (f"{name}={value}" for name, value in self.codec.describe().items())
        return " ".join((self.codec.name, *constants))


def _copy(vector: Tensor) -> tuple[Call, Call]:
    values = vector.numpy()
    data = values.tobytes()
    return values.tobytes, lambda: np.frombuffer(data, dtype=np.float32).copy()


def _zstd(plain: bytes) -> tuple[Call, Call]:
    compressor, decompressor = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()
    frame = compressor.compress(plain)
    return lambda: compressor.compress(plain), lambda: decompressor.decompress(frame)


def _zstd_of_planes(vector: Tensor) -> tuple[Call, Call]:
    words = vector.bfloat16().view(torch.int16).numpy()
    return _zstd(words.view(np.uint8).reshape(-1, 2)[:, ::-1].T.tobytes())


def _zstd_of_nibbles(step: float) -> Callable[[Tensor], tuple[Call, Call]]:
    def make(vector: Tensor) -> tuple[Call, Call]:
        multiples = np.rint(vector.numpy() / (step * float(vector.std()))).clip(-7, 7)
        nibbles = multiples.astype(np.int8)
        return _zstd(((nibbles[0::2] & 15) | (nibbles[1::2] << 4)).tobytes())

    return make


def _rounding(vector: Tensor) -> tuple[Call, Call]:
    values = vector.numpy()
    factor = np.float32(127 / np.abs(values).max())
    steps = np.rint(values * factor).astype(np.int8)
    return lambda: np.rint(values * factor).astype(np.int8), lambda: steps * np.float32(0.5)


def _packing(vector: Tensor) -> tuple[Call, Call]:
    values = vector.numpy()
    packed = np.packbits(values < 0)
    return lambda: np.packbits(values < 0), lambda: np.unpackbits(packed)


def _top(density: float) -> Callable[[Tensor], tuple[Call, Call]]:
    def make(vector: Tensor) -> tuple[Call, Call]:
        count = int(len(vector) * density)
        indices = vector.abs().topk(count, sorted=False).indices
        return lambda: vector.abs().topk(count, sorted=False), _scattering(vector, indices)

    return make


def _picking(vector: Tensor) -> tuple[Call, Call]:
    indices = torch.arange(0, len(vector), 10)
    return lambda: vector[indices], _scattering(vector, indices)


def _top_of_chunks(vector: Tensor) -> tuple[Call, Call]:
    chunks = vector[: len(vector) // 4096 * 4096].view(-1, 4096)
    indices = chunks.abs().topk(64, dim=1, sorted=False).indices
    values = chunks.gather(1, indices)
    return (
        lambda: chunks.abs().topk(64, dim=1, sorted=False),
        lambda: torch.zeros_like(chunks).scatter_(1, indices, values),
    )


def _scattering(vector: Tensor, indices: Tensor) -> Call:
    values = vector[indices]
    return lambda: torch.zeros_like(vector).index_copy_(0, indices, values)


PAIRS = (
    Pair(codec=Float32(), plain="copy", make_plain=_copy),
    Pair(
        codec=BFloat16(), plain="zstd -3 of the bytes", make_plain=_zstd_of_planes, mb_per_s_min=500
    ),
    Pair(codec=Int8(), plain="numpy: round to int8", make_plain=_rounding, mb_per_s_min=500),
    Pair(
        codec=Int4(),
        plain="zstd -3 of nibbles",
        make_plain=_zstd_of_nibbles(0.36),
        mb_per_s_min=250,
    ),
    Pair(codec=Uniform(), plain="zstd -3 of nibbles", make_plain=_zstd_of_nibbles(0.5)),
    Pair(codec=Uniform(step_rms=1.0), plain="zstd -3 of nibbles", make_plain=_zstd_of_nibbles(1.0)),
    Pair(codec=Sign(), plain="numpy: packbits", make_plain=_packing),
    Pair(codec=TopK(density=0.25), plain="torch: topk, index_copy", make_plain=_top(0.25)),
    Pair(codec=TopK(), plain="torch: topk, index_copy", make_plain=_top(0.1)),
    Pair(codec=TopK(density=0.01), plain="torch: topk, index_copy", make_plain=_top(0.01)),
    Pair(codec=RandK(), plain="torch: index, index_copy", make_plain=_picking),
    Pair(codec=Sparse(), plain="torch: topk of rows, scatter", make_plain=_top_of_chunks),
)
