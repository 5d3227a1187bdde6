"""The values of largest magnitude, and where they stand."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.entropy import compress, compressed_bytes_max, decompress
from p2pfed.updates.codecs.values import VALUE_CODECS, check_constants, kept_count
from p2pfed.updates.construction import Constant
from robust.errors import RankError
from robust.ranks import elias_fano

_MASK_DENSITY: Final = 0.2  # from here on a compressed mask is shorter than Elias and Fano's code
_LENGTH_BYTES: Final = 4


@final
@dataclass(frozen=True, slots=True)
class TopK(Codec):
    """The share of largest magnitude, the others as 0; of equals the first ones.

    Layout: the indices, then the values in their order as another codec encodes them. Below a
    density of 0.2 the indices are a set in Elias and Fano's code, k (log2(n / k) + 2) / 8 bytes
    or a little less; from there on a zstd frame of one bit per value, its length before it.

    A value that is dropped is wrong by itself, a kept one by the error of the other codec. Worth
    it below one bit per value, or for vectors of which few values matter.

    Source: Stich et al. 2018, "Sparsified SGD with memory", def. 2.1; Elias 1974 and Fano 1971
    for the indices.
    Differs: nothing.

    Attributes:
        density: Share of the values that is kept, in (0, 1].
        values: Codec of the kept ones: bfloat16, float32, int4 or int8, with its defaults.
    """

    name: ClassVar[str] = "top-k"
    is_for_differences: ClassVar[bool] = True

    density: float = 0.1
    values: str = "int4"

    def __post_init__(self) -> None:
        check_constants(self.density, self.values)

    @property
    @override
    def contraction_min(self) -> float:
        return self.density * VALUE_CODECS[self.values].contraction_min

    @property
    @override
    def gossip_step_max(self) -> float:
        return min(1.0, 2.0 * self.density)

    @override
    def encoded_bytes_max(self, size: int) -> int:
        count = kept_count(size, self.density)
        values_bytes = VALUE_CODECS[self.values].encoded_bytes_max(count)
        if self._has_mask:
            return _LENGTH_BYTES + compressed_bytes_max((size + 7) // 8) + values_bytes
        return (elias_fano.encoded_bytes(size, count) if count else 0) + values_bytes

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        indices = torch.from_numpy(largest_indices(vector.numpy(), self.density))
        errors = vector.abs()
        errors[indices] = VALUE_CODECS[self.values].error_max(vector[indices])
        return errors

    @override
    def describe(self) -> dict[str, Constant]:
        return {"density": float(self.density), "values": self.values}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        indices = largest_indices(vector.numpy(), self.density)
        kept = torch.from_numpy(vector.numpy()[indices])
        return self._write_indices(indices, len(vector)) + VALUE_CODECS[self.values].encode(kept)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        view = memoryview(data)
        indices, border = self._read_indices(view, size)
        values = VALUE_CODECS[self.values].decode(view[border:], len(indices))
        vector = torch.zeros(size)
        vector[indices] = values
        return vector

    @property
    def _has_mask(self) -> bool:
        return self.density >= _MASK_DENSITY

    def _write_indices(self, indices: NDArray[np.int64], size: int) -> bytes:
        if not self._has_mask:
            return elias_fano.encode(torch.from_numpy(indices), size) if len(indices) else b""
        is_kept = np.zeros(size, dtype=np.bool_)
        is_kept[indices] = True
        frame = compress(np.packbits(is_kept, bitorder="little").data)
        return len(frame).to_bytes(_LENGTH_BYTES, "little") + frame

    def _read_indices(self, data: memoryview, size: int) -> tuple[Tensor, int]:
        count = kept_count(size, self.density)
        if self._has_mask:
            return self._read_mask(data, size, count)
        border = elias_fano.encoded_bytes(size, count) if count else 0
        if not count:
            return torch.empty(0, dtype=torch.int64), border
        try:
            return elias_fano.decode(data[:border], size=size, count=count), border
        except RankError as error:
            raise CodecError(f"{self.name}: {error}") from error

    def _read_mask(self, data: memoryview, size: int, count: int) -> tuple[Tensor, int]:
        if len(data) < _LENGTH_BYTES:
            raise CodecError(f"{self.name}: {len(data)} bytes, the length of a mask is missing")
        border = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
        plain = decompress(self.name, data[_LENGTH_BYTES:border], (size + 7) // 8)
        packed = np.frombuffer(plain, dtype=np.uint8)
        bits = np.unpackbits(packed, bitorder="little")
        if bool(bits[size:].any()):
            raise CodecError(f"{self.name}: a bit behind the last value is set")
        indices = np.flatnonzero(bits)
        if len(indices) != count:
            raise CodecError(f"{self.name}: {len(indices)} indices, expected {count}")
        return torch.from_numpy(indices), border


def largest_indices(values: NDArray[np.float32], density: float) -> NDArray[np.int64]:
    """Return where the largest magnitudes stand, ascending; of equals the first ones."""
    count = kept_count(len(values), density)
    if count == len(values):
        return np.arange(count)
    magnitudes = np.abs(values)
    magnitudes.partition(len(values) - count)  # in place: this is the only copy
    border = magnitudes[len(values) - count]
    is_kept = (values > border) | (values < -border)
    missing = count - int(np.count_nonzero(is_kept))
    is_kept[np.flatnonzero((values == border) | (values == -border))[:missing]] = True
    return np.flatnonzero(is_kept)
