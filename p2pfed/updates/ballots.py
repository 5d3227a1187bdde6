"""The codec of methods that vote: what travels of a vector of scores is its ranking."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor
from typing_extensions import override

from p2pfed.errors import CodecError
from p2pfed.updates.codec import Codec, check_length
from p2pfed.updates.construction import Constant
from robust.errors import RankError
from robust.ranks.codec import RankCodec
from robust.ranks.layer import RankedLayer, split_layers
from robust.ranks.ranking import ranks_of

BALLOT: Final = "ballot"  # stands in headers and in the genesis where other runs name a codec


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ballots(Codec):
    """A ranking of each layer's scores, one behind the other.

    What arrives are the scores that the ranking stands for, so that it can be used as any other
    vector: of what was not said, such as the order within a level, it is that of the edges' ids.

    Attributes:
        layers: Of a vector, behind each other.
        form: How one ranking is written.
        initial: What vectors are differences from, shape (d,).
    """

    name: ClassVar[str] = BALLOT

    layers: tuple[RankedLayer, ...]
    form: RankCodec
    initial: Tensor

    @property
    @override
    def contraction_min(self) -> float:
        return 0.0  # of the values, nothing is kept

    @override
    def encoded_bytes_max(self, size: int) -> int:
        assert size == len(self.initial)
        return sum(self.form.encoded_bytes(layer.size) for layer in self.layers)

    @override
    def error_max(self, vector: Tensor) -> Tensor:
        return (vector - self.decode(self.encode(vector), len(vector))).abs()

    @override
    def describe(self) -> dict[str, Constant]:
        return {}  # they are the method's

    @override
    def _encode(self, vector: Tensor) -> bytes:
        scores = split_layers(vector + self.initial, self.layers)
        return b"".join(self.form.encode(ranks_of(each)) for each in scores)

    @override
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        check_length(self.name, data, self.encoded_bytes_max(size))
        view = memoryview(data)
        scores = []
        for layer in self.layers:
            border = self.form.encoded_bytes(layer.size)
            try:
                ballot = self.form.decode(view[:border], layer.size)
            except RankError as error:
                raise CodecError(f"{self.name}: {error}") from error
            scores.append(layer.scores(ranks_of(ballot)))
            view = view[border:]
        return torch.cat(scores) - self.initial
