"""What every codec of rankings is.

Any bytes are a valid ballot or a RankError, whoever sent them. Every codec has one size per number
of edges, which is checked before anything is allocated, and one form per ballot: other bytes with
the same meaning are refused.
"""

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor

from robust.errors import RuleError
from robust.parameters import check_whole_number, shown
from robust.ranks.bits import check_length
from robust.ranks.ranking import check_permutation


class RankCodec(ABC):
    """A way to write one layer's ranking.

    What arrives is a ballot: what the voter gives to each edge, which votes add up. A codec that
    leaves something out turns the voter's own ranking into the same kind of ballot by `ballot`.
    """

    __slots__ = ()

    @abstractmethod
    def encoded_bytes(self, size: int) -> int:
        """Return the bytes of each ranking of `size` edges, at least 1."""

    @abstractmethod
    def ballot(self, ranks: Tensor) -> Tensor:
        """Return what `decode` makes of the encoded ranks, shape (n,), int64."""

    @final
    def encode(self, ranks: Tensor) -> bytes:
        """Write a ranking.

        Args:
            ranks: Shape (n,), int64, a permutation: the position of each edge, 0 the worst.

        Raises:
            RankError: If `ranks` is none.
        """
        check_permutation(ranks, "ranks")
        return self._encode(ranks)

    @final
    def decode(self, data: bytes | bytearray | memoryview, size: int) -> Tensor:
        """Read a ballot.

        Args:
            data: The bytes; nothing about them is trusted.
            size: Edges of the layer, by the reader's own count, at least 1.

        Returns:
            Shape (size,), int64, >= 0, on the CPU.

        Raises:
            RankError: If `encode` writes these bytes for no ranking.
            RuleError: If `data` is no bytes, or `size` no whole number >= 1 or more than the codec
                takes, which are the reader's own.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise RuleError(f"data={shown(data)} is no bytes; give the ballot as it arrived")
        check_whole_number(size, "size", least=1)
        check_length(data, self.encoded_bytes(size))
        return self._decode(data, size)

    @abstractmethod
    def _encode(self, ranks: Tensor) -> bytes: ...

    @abstractmethod
    def _decode(self, data: bytes | bytearray | memoryview, size: int) -> Tensor: ...
