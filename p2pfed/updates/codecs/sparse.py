"""The largest values of every chunk, at two magnitudes and a sign each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError, ConfigError, LocalError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.blocks import CHUNK_VALUES
from p2pfed.updates.codecs.chunk_indices import Raw12, RiceGaps
from p2pfed.updates.construction import Constant, check_choice, check_integer

_INDICES: Final[Mapping[str, type[RiceGaps] | type[Raw12]]] = {"raw12": Raw12, "rice": RiceGaps}
_LEVEL_BYTES: Final = 4  # two float16 per chunk
_LLOYD_STEPS: Final = 4
_EXPONENT_MAX: Final = 40
FLOAT16_MAX: Final = 65504.0
_INFINITY: Final = 0x7C00  # as float16; NaN above it, negative values from 0x8000 on


@final
@dataclass(frozen=True, slots=True)
class Sparse(Codec):
    """Of every chunk the values of largest magnitude, in 2 bits each; of equals the first ones.

    Layout: for each chunk the lower and the upper magnitude (float16, times 2^exponent), then for
    each kept value a bit for "upper" and one for "negative", lowest bits first, then the indices
    as `p2pfed.updates.codecs.chunk_indices` writes them. The last chunk is filled up with zeros.
    With the constants as they are, 10 bits per kept value, 0.16 per value.

    The two magnitudes are those of Lloyd and Max: means of the values next to them. A value that
    is dropped is wrong by itself, and a kept one by its distance from its magnitude.

    Source: Sarfi et al. 2025, "Communication efficient LLM pre-training with SparseLoCo", alg. 1
    (chunked top-k, 2-bit values); Lloyd 1982, "Least squares quantization in PCM".
    Differs: two magnitudes per chunk instead of four levels per tensor, and gaps in Rice codes
    instead of 12 bits per index.

    Attributes:
        chunk: Values of a chunk.
        kept: Values kept of each, at most `chunk`.
        index: Code of the indices: rice, or raw12, which is longer and only to compare with.
        exponent: Power of two of the magnitudes' unit, from -40 to 40, the same for the whole
            run: a sum of such updates is then exact in integers. Magnitudes reach from 2^-14 to
            2^16 units at full precision.
    """

    name: ClassVar[str] = "sparse"
    is_for_differences: ClassVar[bool] = True

    chunk: int = 4096
    kept: int = 64
    index: str = "rice"
    exponent: int = -12  # up to 16, and precise from 1.5e-8 on: differences of weights

    def __post_init__(self) -> None:
        check_integer(self.chunk, "codec.chunk", least=1)
        check_integer(self.kept, "codec.kept", least=1)
        check_integer(self.exponent, "codec.exponent", least=-_EXPONENT_MAX)
        check_choice(self.index, "codec.index", tuple(_INDICES))
        if self.chunk > 1 << 20:
            raise ConfigError("codec.chunk", self.chunk, "write at most 1048576")
        if self.kept > self.chunk:
            raise ConfigError("codec.kept", self.kept, "write at most codec.chunk")
        if self.exponent > _EXPONENT_MAX:
            raise ConfigError("codec.exponent", self.exponent, f"write at most {_EXPONENT_MAX}")
        if self.index == "raw12" and (self.chunk > 4096 or self.kept % 2):
            fix = "use rice; raw12 needs a chunk of at most 4096 and an even number kept"
            raise ConfigError("codec.index", self.index, fix)

    @property
    @override
    def contraction_min(self) -> float:
        # The kept values hold at least kept / chunk of a chunk's energy, and one magnitude for all
        # of them, which is no better than two, 1 / kept of that.
        return 1 / self.chunk

    @property
    @override
    def gossip_step_max(self) -> float:
        return min(1.0, 2.0 * self.kept / self.chunk)

    @override
    def encoded_bytes_max(self, size: int) -> int:
        chunks = self._chunk_count(size)
        return self._fixed_bytes(chunks) + self._indices().bytes_max(chunks)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        chunks = self._chunks(vector.numpy())
        indices = _largest(chunks, self.kept)
        errors = np.abs(chunks)
        largest = errors.max(axis=1, keepdims=True, initial=0)
        # A magnitude is a mean of kept values, rounded: no value is further from it than this.
        kept = np.broadcast_to(largest * 1.001 + 2.0 ** (self.exponent - 24), indices.shape)
        np.put_along_axis(errors, indices, kept, axis=1)
        return torch.from_numpy(errors.ravel()[: len(vector)].copy())

    @override
    def describe(self) -> dict[str, Constant]:
        return {
            "chunk": self.chunk,
            "kept": self.kept,
            "index": self.index,
            "exponent": self.exponent,
        }

    @override
    def _encode(self, vector: Tensor) -> bytes:
        chunks = self._chunks(vector.numpy())
        indices = _largest(chunks, self.kept)
        kept = np.take_along_axis(chunks, indices, axis=1)
        low, high, is_upper = two_magnitudes(np.abs(kept).astype(np.float64))
        levels = np.stack((low, high), axis=1) * 2.0**-self.exponent
        if float(levels.max(initial=0)) > FLOAT16_MAX:
            raise LocalError(f"{self.name}: a value is beyond 65504 * 2^{self.exponent}")
        halves = levels.astype("<f2")
        # Equal magnitudes are told apart by no bit.
        is_upper &= (halves[:, 0] != halves[:, 1])[:, None]
        codes = np.stack((is_upper, kept < 0), axis=2)
        # Where the magnitude is 0 there is no sign.
        codes[:, :, 1] &= np.where(is_upper, halves[:, 1:], halves[:, :1]) > 0
        bits = np.packbits(codes, bitorder="little")
        return halves.tobytes() + bits.tobytes() + self._indices().encode(indices)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        count = self._chunk_count(size)
        view = memoryview(data)
        border, fixed = _LEVEL_BYTES * count, self._fixed_bytes(count)
        if len(view) < fixed:
            raise CodecError(f"{self.name}: {len(view)} bytes, magnitudes and signs are {fixed}")
        levels = self._read_levels(view[:border])
        is_upper, is_negative = self._read_codes(view[border:fixed], levels)
        indices = self._indices().decode(self.name, view[fixed:], count)
        self._check_padding(indices, is_upper | is_negative, size)
        magnitudes = np.where(is_upper, levels[:, 1:], levels[:, :1])
        values = np.ldexp(magnitudes.astype(np.float32), self.exponent)
        chunks = np.zeros((count, self.chunk), dtype=np.float32)
        np.put_along_axis(chunks, indices, np.where(is_negative, -values, values), axis=1)
        return torch.from_numpy(chunks.ravel()[:size])

    def _read_levels(self, data: memoryview) -> NDArray[np.float16]:
        words = np.frombuffer(data, dtype="<u2").reshape(-1, 2)
        if bool((words >= _INFINITY).any()):
            raise CodecError(f"{self.name}: a magnitude is negative, NaN or infinite")
        if bool((words[:, 0] > words[:, 1]).any()):
            raise CodecError(f"{self.name}: the lower magnitude is above the upper one")
        return words.astype(np.uint16).view(np.float16)

    def _read_codes(
        self, data: memoryview, levels: NDArray[np.float16]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
        count = 2 * len(levels) * self.kept
        if bool(bits[count:].any()):
            raise CodecError(f"{self.name}: a bit behind the last value is set")
        codes = bits[:count].reshape(-1, self.kept, 2).astype(np.bool_)
        is_upper, is_negative = codes[:, :, 0], codes[:, :, 1]
        is_split = is_upper.any(axis=1) & ~is_upper.all(axis=1)
        is_same = levels[:, 0] == levels[:, 1]
        if bool(np.where(is_same, is_upper.any(axis=1), ~is_split).any()):
            raise CodecError(f"{self.name}: a magnitude that no value has")
        is_zero = np.where(is_upper, levels[:, 1:], levels[:, :1]) == 0
        if bool((is_negative & is_zero).any()):
            raise CodecError(f"{self.name}: a negative 0")
        return is_upper, is_negative

    def _check_padding(
        self, indices: NDArray[np.int64], is_coded: NDArray[np.bool_], size: int
    ) -> None:
        if not len(indices):
            return
        is_padding = indices[-1] >= size - (len(indices) - 1) * self.chunk
        # The zeros behind the vector come last of equals: only if all else is kept.
        is_first = bool((indices[-1] == np.arange(self.kept)).all())
        if bool(is_padding.any()) and (bool(is_coded[-1][is_padding].any()) or not is_first):
            raise CodecError(f"{self.name}: values behind the end of the vector")

    def _chunks(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        count = self._chunk_count(len(values))
        if len(values) == count * self.chunk:
            return values.reshape(count, self.chunk)
        filled = np.zeros((count, self.chunk), dtype=np.float32)
        filled.ravel()[: len(values)] = values
        return filled

    def _chunk_count(self, size: int) -> int:
        return -(-size // self.chunk)

    def _fixed_bytes(self, chunks: int) -> int:
        return _LEVEL_BYTES * chunks + (2 * chunks * self.kept + 7) // 8

    def _indices(self) -> RiceGaps | Raw12:
        return _INDICES[self.index](self.chunk, self.kept)


def two_magnitudes(
    magnitudes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Find two magnitudes for each row, and which of them is next to each value.

    Args:
        magnitudes: Shape (rows, values), at least 0.

    Returns:
        The lower and the upper magnitude, shape (rows,), the same if the values are; and which
        values have the upper one, shape (rows, values).

    Source: Lloyd 1982, "Least squares quantization in PCM", method I; Max 1960.
    Differs: four steps from the mean.
    """
    border = magnitudes.mean(axis=1)
    low = high = border
    for _ in range(_LLOYD_STEPS):
        is_upper = magnitudes > border[:, None]
        upper_count = is_upper.sum(axis=1)
        lower_count = magnitudes.shape[1] - upper_count
        low = np.where(is_upper, 0, magnitudes).sum(axis=1) / np.maximum(1, lower_count)
        high = np.where(is_upper, magnitudes, 0).sum(axis=1) / np.maximum(1, upper_count)
        # Of equal values none is above their mean, or all are if it was rounded down.
        low, high = np.where(lower_count > 0, low, high), np.where(upper_count > 0, high, low)
        border = (low + high) / 2
    return low, high, magnitudes > border[:, None]


def _largest(chunks: NDArray[np.float32], kept: int) -> NDArray[np.int64]:
    """Return for each row where its largest magnitudes stand, ascending; of equals the first."""
    indices = np.empty((len(chunks), kept), dtype=np.int64)
    group = max(1, CHUNK_VALUES // chunks.shape[1])
    for first in range(0, len(chunks), group):
        magnitudes = np.abs(chunks[first : first + group])
        place = magnitudes.shape[1] - kept
        borders = np.partition(magnitudes, place, axis=1)[:, place : place + 1]
        is_kept = magnitudes >= borders
        for row in np.flatnonzero(is_kept.sum(axis=1) > kept):
            surplus = int(is_kept[row].sum()) - kept
            is_kept[row, np.flatnonzero(magnitudes[row] == borders[row])[-surplus:]] = False
        indices[first : first + group] = np.nonzero(is_kept)[1].reshape(-1, kept)
    return indices
