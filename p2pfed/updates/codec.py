"""What every codec is: vectors to bytes and back, with a stated precision and a bounded size."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from p2pfed.errors import CodecError, ConfigError, LocalError
from p2pfed.updates.construction import Constant


class Codec(ABC):
    """A reversible encoding of float32 vectors.

    Codecs are values: equal constants make equal codecs, and one codec gives one vector the same
    bytes every time. Decoding takes bytes from strangers: it raises `CodecError` and nothing else,
    and allocates no more than the vector's own size and a few temporaries of it.

    Attributes:
        name: Its name in headers and in the table; renaming one changes the protocol.
        is_for_differences: Whether it rounds so much that a peer has to send what changed since
            its last update, or what is rounded off would be lost.
        keeping_constant: Where `contraction_min` may be 0: the constant that decides on it, and
            what to write for it.
    """

    __slots__ = ()

    name: ClassVar[str]
    is_for_differences: ClassVar[bool] = False
    keeping_constant: ClassVar[tuple[str, str]] = ("name", "write another codec")

    @final
    def encode(self, vector: Tensor) -> bytes:
        """Encode a vector.

        Args:
            vector: Shape (d,), float32, on the CPU, finite.

        Raises:
            LocalError: If it is not as described, or a value is beyond the codec's range.
        """
        if vector.ndim != 1 or vector.dtype != torch.float32:
            raise LocalError(
                f"{self.name}: vector of shape {tuple(vector.shape)} and {vector.dtype}, expected "
                "(d,) and torch.float32"
            )
        if not is_finite(vector):
            raise LocalError(f"{self.name}: the vector has NaN or infinity; did training diverge?")
        return self._encode(vector.detach().contiguous())

    @final
    def decode(self, data: bytes | memoryview, size: int) -> Tensor:
        """Decode a vector of `size` values.

        Args:
            data: Any bytes.
            size: d, from the genesis and never from the sender.

        Returns:
            Shape (size,), float32, on the CPU, finite.

        Raises:
            CodecError: If the bytes are not the encoding of such a vector.
        """
        if len(data) > self.encoded_bytes_max(size):
            raise CodecError(
                f"{self.name}: {len(data)} bytes for {size} values, at most "
                f"{self.encoded_bytes_max(size)}"
            )
        vector = self._decode(data, size)
        assert vector.shape == (size,)
        assert vector.dtype == torch.float32
        if not is_finite(vector):
            raise CodecError(f"{self.name}: NaN or infinity")
        return vector

    @property
    @abstractmethod
    def contraction_min(self) -> float:
        """The least share of a vector's energy that a round trip is known to keep, in [0, 1].

        That is delta in ||x - Q(x)||^2 <= (1 - delta) ||x||^2, for every x that is not so close to
        0 that its values or scales underflow (below 1e-36). With 0, errors that are fed back can
        grow without end. Codecs whose places are chosen by a seed keep it on average over seeds.

        Source: Stich et al. 2018, "Sparsified SGD with memory", def. 2.1.
        """

    @property
    def gossip_step_max(self) -> float:
        """The largest step of difference gossip that is known to converge, in (0, 1].

        Measured among eight peers in a ring that only agree, where steps twice as large stall or
        diverge; no theorem promises more than a small part of it.

        Source: Koloskova, Stich and Jaggi 2019, "Decentralized stochastic optimization and gossip
            algorithms with compressed communication", theorem 2, whose gamma it is.
        """
        return 1.0

    @abstractmethod
    def encoded_bytes_max(self, size: int) -> int:
        """Return the most bytes that the encoding of `size` values can have."""

    @abstractmethod
    def error_max(self, vector: Tensor) -> Tensor:
        """Return the largest error of each value after a round trip, shape (d,).

        A sparse codec drops values, and a dropped value is wrong by its own magnitude: of these
        codecs the error of a vector as a whole, `contraction_min`, says more.
        """

    @abstractmethod
    def describe(self) -> dict[str, Constant]:
        """Return its constants, for a genesis."""

    @abstractmethod
    def _encode(self, vector: Tensor) -> bytes:
        """Encode a checked vector."""

    @abstractmethod
    def _decode(self, data: bytes | memoryview, size: int) -> Tensor:
        """Decode bytes that are not too many."""


def check_length(name: str, data: bytes | memoryview, expected: int) -> None:
    """Refuse a wrong number of bytes.

    Raises:
        CodecError: If it is not exactly the expected one.
    """
    if len(data) != expected:
        raise CodecError(f"{name}: {len(data)} bytes, expected {expected}")


def check_contractive(codec: Codec, user: str) -> None:
    """Refuse a codec that can lose a vector as a whole.

    Args:
        codec: The codec.
        user: What adds up the codec's errors, for the error.

    Raises:
        ConfigError: If it is not known to keep part of every vector.
    """
    if codec.contraction_min <= 0:
        constant, fix = codec.keeping_constant
        value = codec.describe().get(constant, codec.name)
        why = f"from there on {codec.name} can lose a vector as a whole, and {user} adds up errors"
        raise ConfigError(f"codec.{constant}", value, f"{fix}; {why}")


def is_finite(vector: Tensor) -> bool:
    """Return whether no value is NaN or infinity."""
    if not vector.numel():
        return True
    # One pass and no temporary: NaN and infinity both show in the extremes.
    low, high = torch.aminmax(vector.detach())
    return math.isfinite(low) and math.isfinite(high)
