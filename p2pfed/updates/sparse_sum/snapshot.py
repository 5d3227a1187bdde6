"""Long vectors of integers as few bytes, each vector as one string of bytes.

Layout: for each block of 4,096 values, of which the last may be shorter, two bytes: how many zero
bits all its values end in, and how many bits each takes without them; then these bits of all
values, zigzagged, lowest bit first, filled up with zeros to whole bytes. Values of float16 end in
many zero bits: a sum of them takes 12 to 20 bits.
"""

from typing import Final

import numpy as np

from p2pfed.errors import CodecError
from p2pfed.updates.sparse_sum.terms import Integers

_BLOCK: Final = 4_096
_HEAD_BYTES: Final = 2


def encode(values: Integers) -> bytes:
    """Return the bytes of values of magnitudes below 2^62."""
    parts = []
    for first in range(0, len(values), _BLOCK):
        block = values[first : first + _BLOCK]
        shift = _zero_bits(int(np.bitwise_or.reduce(block)))
        shifted = block >> shift
        numbers = (shifted << 1) ^ (shifted >> 63)
        width = int(numbers.max()).bit_length()
        bits = ((numbers[:, None] >> np.arange(width)) & 1).astype(np.uint8)
        parts.append(bytes([shift, width]) + np.packbits(bits, bitorder="little").tobytes())
    return b"".join(parts)


def decode(data: bytes | memoryview, size: int, magnitude_max: int) -> Integers:
    """Read `size` values.

    Args:
        data: Any bytes.
        size: How many values there must be.
        magnitude_max: The largest allowed magnitude, below 2^62.

    Raises:
        CodecError: If `encode` does not write these bytes for such values.
    """
    bits_max, most = _bits_max(magnitude_max), bytes_max(size, magnitude_max)
    if len(data) > most:
        raise CodecError(f"a snapshot of {len(data)} bytes, at most {most}")
    values, position = np.zeros(size, dtype=np.int64), 0
    for first in range(0, size, _BLOCK):
        block = values[first : first + _BLOCK]
        if position + _HEAD_BYTES > len(data):
            raise CodecError("a snapshot that ends early")
        shift, width = data[position], data[position + 1]
        if shift + width > bits_max:
            raise CodecError(f"a snapshot with values of {shift} and {width} bits")
        position += _HEAD_BYTES
        end = position + (len(block) * width + 7) // 8
        if end > len(data):
            raise CodecError("a snapshot that ends early")
        octets = np.frombuffer(data[position:end], dtype=np.uint8)
        bits = np.unpackbits(octets, bitorder="little")[: len(block) * width]
        numbers = bits.reshape(len(block), width).astype(np.int64) @ (1 << np.arange(width))
        block[:] = ((numbers >> 1) ^ -(numbers & 1)) << shift
        position = end
    largest = int(np.abs(values).max(initial=0))
    if largest > magnitude_max:
        raise CodecError(f"a snapshot with a sum of {largest}, at most {magnitude_max}")
    # Finds bytes after the end, bits in what fills up, and widths larger than need be.
    if encode(values) != data:
        raise CodecError("a snapshot that is not in its one encoding")
    return values


def bytes_max(size: int, magnitude_max: int) -> int:
    """Return the most bytes that `size` values of such magnitudes can take."""
    blocks = -(-size // _BLOCK)
    return blocks * _HEAD_BYTES + (size * _bits_max(magnitude_max) + 7 * blocks) // 8


def _bits_max(magnitude_max: int) -> int:
    return (2 * magnitude_max).bit_length()


def _zero_bits(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 0
