"""Values at places that a seed chooses."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, final

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs.values import VALUE_CODECS, check_constants, kept_count
from p2pfed.updates.construction import Constant
from p2pfed.updates.portable import mix, stream_key
from p2pfed.updates.specification import little_endian

_SEED_BYTES: Final = 8


@final
@dataclass(frozen=True, slots=True)
class RandK(Codec):
    """A share of the values, one from each of as many equal stretches, the others as 0.

    Layout: a seed of 8 bytes, then the values in their order as another codec encodes them. The
    seed is the start of the BLAKE3 hash of the vector's float32 bytes: equal vectors give equal
    bytes, and other vectors other places. The place in stretch j is its width times the j-th
    number of the seed's stream of `p2pfed.updates.portable`.

    The values are sent as they are. To multiply them by n / k would make the mean over all seeds
    right and every single vector worse, which error feedback and difference gossip amplify.

    Source: Stich et al. 2018, "Sparsified SGD with memory", def. 2.1 (rand-k).
    Differs: one place from each stretch instead of any k places, so that they ascend and none is
    there twice; each place is still as likely as another.

    Attributes:
        density: Share of the values that is kept, in (0, 1].
        values: Codec of the kept ones: bfloat16, float32, int4 or int8, with its defaults.
    """

    name: ClassVar[str] = "rand-k"
    is_for_differences: ClassVar[bool] = True

    density: float = 0.1
    values: str = "bfloat16"

    def __post_init__(self) -> None:
        check_constants(self.density, self.values)

    @property
    @override
    def contraction_min(self) -> float:
        # On average over seeds: each place is kept with 1 / the width of its stretch.
        return VALUE_CODECS[self.values].contraction_min / math.ceil(1 / self.density)

    @property
    @override
    def gossip_step_max(self) -> float:
        return min(1.0, self.density)

    @override
    def encoded_bytes_max(self, size: int) -> int:
        count = kept_count(size, self.density)
        return _SEED_BYTES + VALUE_CODECS[self.values].encoded_bytes_max(count)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        indices = torch.from_numpy(self._indices(self._seed(vector), len(vector)))
        errors = vector.abs()
        errors[indices] = VALUE_CODECS[self.values].error_max(vector[indices])
        return errors

    @override
    def describe(self) -> dict[str, Constant]:
        return {"density": float(self.density), "values": self.values}

    @override
    def _encode(self, vector: Tensor) -> bytes:
        seed = self._seed(vector)
        kept = torch.from_numpy(vector.numpy()[self._indices(seed, len(vector))])
        return seed + VALUE_CODECS[self.values].encode(kept)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        if len(data) < _SEED_BYTES:
            raise CodecError(f"{self.name}: {len(data)} bytes, the seed alone is {_SEED_BYTES}")
        count = kept_count(size, self.density)
        values = VALUE_CODECS[self.values].decode(data[_SEED_BYTES:], count)
        indices = torch.from_numpy(self._indices(bytes(data[:_SEED_BYTES]), size))
        vector = torch.zeros(size)  # after what the indices take on the way
        vector[indices] = values
        return vector

    def _seed(self, vector: Tensor) -> bytes:
        return blake3(little_endian(vector)).digest(length=_SEED_BYTES)

    def _indices(self, seed: bytes, size: int) -> NDArray[np.int64]:
        count = kept_count(size, self.density)
        stretches = np.arange(count + 1, dtype=np.uint64)
        borders = stretches * np.uint64(size) // np.uint64(max(1, count))
        key = stream_key(int.from_bytes(seed, "little"), "rand-k")
        # The upper half of 64 bits times a width below 2^32, whose upper half is below the width.
        fractions = mix(key, stretches[:-1]) >> np.uint64(32)
        return (borders[:-1] + (fractions * np.diff(borders) >> np.uint64(32))).astype(np.int64)
