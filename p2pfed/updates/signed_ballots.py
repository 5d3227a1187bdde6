"""The codec of votes on updates: the largest entries in their order, their signs, and how large."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.ballots import BALLOT
from p2pfed.updates.codec import Codec, check_length
from p2pfed.updates.construction import Constant
from robust.errors import InputError, RankError
from robust.ranks import magnitudes, rank_of_update
from robust.ranks.codecs import listed_count
from robust.ranks.magnitudes import LEVEL_COUNT, Magnitudes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBallots(Codec):
    """The ids of the largest entries in their order, a sign for each, and the sorted magnitudes.

    Magnitudes are rounded to 256 levels of the largest, and those of one level are spread evenly
    over it when they are read, so that the order is kept. All other entries are 0.

    Attributes:
        share: Of the entries, in (0, 1], that are listed; at least one.
    """

    name: ClassVar[str] = BALLOT

    share: float

    @property
    @override
    def contraction_min(self) -> float:
        return 0.0  # not known; it is not needed, because no differences are sent

    @override
    def encoded_bytes_max(self, size: int) -> int:
        count = listed_count(size, self.share)
        return rank_of_update.encoded_bytes(size, count) + magnitudes.encoded_bytes(count)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        return (vector - self.decode(self.encode(vector), len(vector))).abs()

    @override
    def describe(self) -> dict[str, Constant]:
        return {}  # it is the method's

    @override
    def _encode(self, vector: Tensor) -> bytes:
        count = listed_count(len(vector), self.share)
        try:
            listed = rank_of_update.signed_top(vector, count)
            sizes = magnitudes.magnitudes_of(vector, count)
        except InputError as error:
            raise LocalError(f"{self.name}: {error}") from error
        return rank_of_update.encode(listed) + magnitudes.encode(sizes)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        check_length(self.name, data, self.encoded_bytes_max(size))
        count = listed_count(size, self.share)
        border = rank_of_update.encoded_bytes(size, count)
        view = memoryview(data)
        try:
            listed = rank_of_update.decode(view[:border], size=size, count=count)
            sizes = magnitudes.decode(view[border:], count=count)
        except RankError as error:
            raise CodecError(f"{self.name}: {error}") from error
        vector = torch.zeros(size)
        values = _spread(sizes)
        vector[listed.ids] = torch.where(listed.is_negative, -values, values)
        return vector


def _spread(sizes: Magnitudes) -> Tensor:
    """Return ascending magnitudes that differ within each level, shape (m,), float32."""
    levels = sizes.levels.to(torch.int64)
    counts = torch.bincount(levels, minlength=LEVEL_COUNT)
    starts = counts.cumsum(0) - counts
    places = torch.arange(len(levels)) - starts[levels] + 1
    top = LEVEL_COUNT - 1
    # What rounds to a level lies half a level around it, but for the lowest and the highest.
    low = (levels - 0.5).clamp(min=0.0).to(torch.float64)
    high = (levels + 0.5).clamp(max=float(top)).to(torch.float64)
    spread = low + (high - low) * places / counts[levels]
    return (spread * (sizes.peak / top)).to(torch.float32)
