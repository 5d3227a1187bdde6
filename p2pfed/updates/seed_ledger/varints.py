"""Whole numbers as varints: seven bits a byte, the lowest first, the top bit if more follow.

A number has one encoding, the shortest. Signed ones are zigzagged: 0, -1, 1, -2 become 0 to 3.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from p2pfed.errors import CodecError

Integers = NDArray[np.int64]

BYTES_MAX: Final = 5  # of one number below 2^35

_LIMIT: Final = 2 ** (7 * BYTES_MAX)


def pack(numbers: Integers) -> bytes:
    """Return the varints of numbers in [0, 2^35), one after the other."""
    assert not len(numbers) or (numbers.min() >= 0 and numbers.max() < _LIMIT)
    places = 7 * np.arange(BYTES_MAX)
    rest = numbers[:, None] >> places  # what is left from each byte on
    is_there = rest > 0
    is_there[:, 0] = True
    has_more = np.zeros_like(is_there)
    has_more[:, :-1] = is_there[:, 1:]
    return ((rest & 0x7F) | (has_more << 7)).astype(np.uint8)[is_there].tobytes()


def unpack(data: bytes | memoryview, start: int, count: int) -> tuple[Integers, int]:
    """Read varints.

    Args:
        data: Any bytes.
        start: Where the first one begins.
        count: How many. However many it says, memory is taken for those that are there.

    Returns:
        The numbers, in [0, 2^35), and where the last one ended.

    Raises:
        CodecError: If there are fewer, or one is longer than it need be or than 5 bytes.
    """
    octets = np.frombuffer(data, dtype=np.uint8)[start : start + BYTES_MAX * count]
    lasts = np.flatnonzero(octets < 0x80)[:count]
    if len(lasts) < count:
        raise CodecError(f"{len(lasts)} numbers where {count} should be")
    if count == 0:
        return np.zeros(0, dtype=np.int64), start
    lengths = np.diff(lasts, prepend=-1)
    if int(lengths.max()) > BYTES_MAX:
        raise CodecError(f"a number of more than {BYTES_MAX} bytes")
    if bool(np.any((octets[lasts] == 0) & (lengths > 1))):
        raise CodecError("a number that is longer than it need be")
    end = int(lasts[-1]) + 1
    owners = np.repeat(np.arange(count), lengths)
    places = np.arange(end) - np.repeat(lasts - lengths + 1, lengths)
    parts = (octets[:end].astype(np.int64) & 0x7F) << (7 * places)
    numbers = np.zeros(count, dtype=np.int64)
    np.add.at(numbers, owners, parts)
    return numbers, start + end


def zigzag(numbers: Integers) -> Integers:
    """Map signed numbers to those from 0 on, small ones to small ones."""
    return (numbers << 1) ^ (numbers >> 63)


def unzigzag(numbers: Integers) -> Integers:
    """Undo `zigzag`."""
    return (numbers >> 1) ^ -(numbers & 1)
