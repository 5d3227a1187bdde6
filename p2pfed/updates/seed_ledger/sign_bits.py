"""Random signs that every machine computes alike: a hash of a key and a counter.

All of it is 64-bit integer arithmetic modulo 2^64. Tensors hold such words as int64: torch
multiplies and adds them modulo 2^64 too, and only shifts to the right need care.
"""

from typing import Final

import torch
from torch import Tensor

WORD_BITS: Final = 64
GOLDEN_GAMMA: Final = 0x9E3779B97F4A7C15
FIRST_FACTOR: Final = 0xBF58476D1CE4E5B9
SECOND_FACTOR: Final = 0x94D049BB133111EB

_HALF_BITS: Final = 32


def mix64(keys: Tensor, counters: Tensor) -> Tensor:
    """Hash counters under keys.

    Args:
        keys: int64, any shape.
        counters: int64, broadcast against the keys.

    Returns:
        int64, 64 random bits each.

    Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", with the
        finalizer `mix64variant13` of Stafford.
    """
    words = counters * signed64(GOLDEN_GAMMA) + keys
    words = (words ^ _shift_right(words, 30)) * signed64(FIRST_FACTOR)
    words = (words ^ _shift_right(words, 27)) * signed64(SECOND_FACTOR)
    return words ^ _shift_right(words, 31)


def sign_masks(keys: Tensor, count: int) -> Tensor:
    """Return the first signs that belong to some keys, as -1 where the sign is negative, else 0.

    `(x ^ mask) - mask` is x with that sign.

    Args:
        keys: Shape (n,), int64.
        count: How many, a multiple of 64.

    Returns:
        Shape (count, n), int32: a row has one sign of every key.
    """
    counters = torch.arange(count // WORD_BITS, device=keys.device)
    words = mix64(keys, counters[:, None])
    halves = torch.stack((words, words >> _HALF_BITS), dim=1).to(
        torch.int32
    )  # the low bits of each
    to_the_top = torch.arange(
        _HALF_BITS - 1, -1, -1, dtype=torch.int32, device=keys.device
    ).reshape(-1, 1)
    masks = halves.reshape(-1, 1, len(keys)) << to_the_top
    masks >>= _HALF_BITS - 1  # fills up with the bit that is at the top
    return masks.reshape(count, len(keys))


def sign_mask_at(keys: Tensor, index: int) -> Tensor:
    """Return the sign at one index of every key, shape (n,), int64: -1 or 0."""
    counter = torch.tensor(index // WORD_BITS, device=keys.device)
    return -((mix64(keys, counter) >> index % WORD_BITS) & 1)


def signed64(word: int) -> int:
    """Return the signed integer with the same 64 bits."""
    return word - (1 << WORD_BITS) if word >> (WORD_BITS - 1) else word


def _shift_right(words: Tensor, places: int) -> Tensor:
    return (words >> places) & ((1 << (WORD_BITS - places)) - 1)
