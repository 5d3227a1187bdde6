"""Random numbers that nobody else can know: noise that others could compute hides nothing."""

import math
from hashlib import blake2b
from typing import Final, final

import torch
from nacl.utils import randombytes_deterministic
from torch import Tensor

_KEY_BYTES: Final = 32
_PIECE: Final = 1 << 18  # normal numbers made at a time, so that memory stays small
_SUMMANDS: Final = 4


@final
class SecretNumbers:
    """A stream of random numbers from a key, by ChaCha20.

    Torch's own generators are no choice here: their seeds have 64 bits, and who sees some of their
    numbers can compute the others.

    Args:
        key: 32 bytes, never used before: the same noise on other gradients would cancel out.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a key has {_KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self._drawn = 0

    @classmethod
    def derive(cls, *parts: bytes) -> "SecretNumbers":
        """Make a stream from parts, at least one of which is fresh and secret."""
        state = blake2b(digest_size=_KEY_BYTES)
        for part in parts:
            state.update(len(part).to_bytes(8, "little") + part)
        return cls(state.digest())

    def uniform(self, count: int) -> Tensor:
        """Draw numbers from [0, 1), multiples of 2^-53: shape (count,), float64, on the CPU."""
        return _bits(self._bytes(8 * count)).double().mul_(2.0**-53)

    def normal(self, count: int) -> Tensor:
        """Draw from the standard normal distribution: shape (count,), float64, on the CPU.

        Each number is half the sum of four: what a float64 cannot hold would else say which noise
        was added.

        Source: Holohan and Braghin 2021, "Secure random sampling in differential privacy",
            section 4.
        """
        pieces = [
            self._normal_piece(min(_PIECE, count - begin)) for begin in range(0, count, _PIECE)
        ]
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.float64)

    def _normal_piece(self, count: int) -> Tensor:
        """Draw by the transformation of Box and Muller, which gives two numbers of two."""
        half = _SUMMANDS * count // 2
        numbers = self.uniform(2 * half)
        radius = (1.0 - numbers[:half]).log_().mul_(-2.0).sqrt_()  # never the logarithm of 0
        angle = numbers[half:].mul_(2.0 * math.pi)
        drawn = torch.cat([radius * angle.cos(), radius * angle.sin()])
        return drawn.view(_SUMMANDS, count).sum(dim=0).mul_(_SUMMANDS**-0.5)

    def _bytes(self, count: int) -> bytes:
        place = self._drawn.to_bytes(8, "little")
        self._drawn += 1
        return randombytes_deterministic(
            count, blake2b(place, key=self._key, digest_size=32).digest()
        )


def _bits(data: bytes) -> Tensor:
    """Return 53 random bits per 8 bytes, as int64."""
    if not data:
        return torch.empty(0, dtype=torch.int64)
    return torch.frombuffer(bytearray(data), dtype=torch.int64).bitwise_right_shift(11) & (
        2**53 - 1
    )
