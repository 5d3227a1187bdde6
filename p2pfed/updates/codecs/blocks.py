"""Blocks of values that share a scale, and integers between -levels and levels times the scale.

Scales are bfloat16: rounded to float16, those of differences below 1e-5 would lose most of their
digits, and difference gossip sends smaller and smaller ones.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from p2pfed.errors import CodecError, LocalError

SCALE_BYTES: Final = 2
FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
# Worked on at a time: the temporaries stay in the cache, and torch starts no thread for so few.
CHUNK_VALUES: Final = 1 << 15

_INFINITY: Final = 0x7F80  # as bfloat16; NaN above it, negative values from 0x8000 on


def block_count(size: int, block: int) -> int:
    """Return how many blocks `size` values make; the last one may be shorter."""
    return -(-size // block)


def chunks_of(
    values: NDArray[np.float32], block: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Cut values into groups of whole blocks.

    Yields:
        Which blocks, and their values, shape (blocks, block): views, but for a shorter last block,
        which is a copy filled up with zeros.
    """
    whole = len(values) // block
    group = max(1, CHUNK_VALUES // block)
    for first in range(0, whole, group):
        last = min(first + group, whole)
        yield slice(first, last), values[first * block : last * block].reshape(-1, block)
    if len(values) > whole * block:
        filled = np.zeros((1, block), dtype=np.float32)
        filled[0, : len(values) - whole * block] = values[whole * block :]
        yield slice(whole, whole + 1), filled


def covering_scales(values: NDArray[np.float32], *, block: int, levels: int) -> NDArray[np.float32]:
    """Return for each block the least bfloat16 with which no value needs more than `levels`.

    Returns:
        Shape (blocks,), float32 that are bfloat16; 0 for a block of zeros.

    Raises:
        LocalError: If a scale's largest multiple would be infinite.
    """
    largest = np.empty(block_count(len(values), block), dtype=np.float32)
    for blocks, chunk in chunks_of(values, block):
        largest[blocks] = np.abs(chunk).max(axis=1)
    wanted = largest / np.float32(levels)
    # Up to the next multiple of 2^16 units of the last place: that is bfloat16, and no less.
    scales = ((wanted.view(np.uint32) + 0xFFFF) & 0xFFFF0000).view(np.float32)
    if float(scales.max(initial=0)) * levels > FLOAT32_MAX:
        raise LocalError("a value is beyond what a multiple of a bfloat16 scale can be")
    return scales


def rounded_scales(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the nearest bfloat16 of values of at least 0, as float32; infinite if beyond it."""
    rounded = torch.from_numpy(values).float().to(torch.bfloat16)
    found: NDArray[np.float32] = rounded.float().numpy()
    return found


def quantize(chunk: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the nearest whole multiples of each block's scale, ties to even.

    Args:
        chunk: Shape (blocks, block).
        scales: Shape (blocks,); dividing by the stored ones is what bounds the error.
    """
    divisors = np.where(scales > 0, scales, np.float32(1))  # blocks without a scale become 0
    quotients = chunk / divisors[:, None]
    return np.rint(quotients, out=quotients).astype(np.int8)


def dequantize(
    steps: NDArray[np.int8], scales: NDArray[np.float32], block: int
) -> NDArray[np.float32]:
    """Return the products of integers, shape (d,), and the scales of their blocks.

    They are exact, or infinite where a stranger's scale is too large: `Codec.decode` refuses those.
    """
    values = np.empty(len(steps), dtype=np.float32)
    whole = len(steps) // block
    border = whole * block
    with np.errstate(over="ignore"):
        products = values[:border].reshape(-1, block)
        np.multiply(steps[:border].reshape(-1, block), scales[:whole, None], out=products)
        if border < len(steps):
            np.multiply(steps[border:], scales[whole], out=values[border:])
    return values


def write_scales(scales: NDArray[np.float32]) -> bytes:
    """Return scales that are bfloat16 as their bytes, little-endian."""
    return (scales.view(np.uint32) >> 16).astype("<u2").tobytes()


def read_scales(name: str, data: bytes | memoryview) -> NDArray[np.float32]:
    """Return the scales that the bytes hold.

    Raises:
        CodecError: If one is negative, NaN or infinite.
    """
    words = np.frombuffer(data, dtype="<u2")
    if bool((words >= _INFINITY).any()):
        raise CodecError(f"{name}: a scale is negative, NaN or infinite")
    return (words.astype(np.uint32) << 16).view(np.float32)


def check_steps(
    name: str,
    steps: NDArray[np.int8],
    scales: NDArray[np.float32],
    *,
    block: int,
    levels: int | None = None,
) -> None:
    """Refuse blocks that encoding never writes.

    Args:
        name: The codec's, for errors.
        steps: Shape (d,), from -127 to 127.
        scales: Shape (blocks,), at least 0.
        block: Values per block.
        levels: That `covering_scales` had; left out if the scales are of another kind.

    Raises:
        CodecError: If a block of scale 0 has another value than 0, or a scale is larger than the
            largest value of its block needs.
    """
    border = len(steps) // block * block
    largest = np.empty(len(scales), dtype=np.int8)
    largest[: border // block] = np.abs(steps[:border]).reshape(-1, block).max(axis=1)
    if border < len(steps):
        largest[-1] = np.abs(steps[border:]).max()
    if bool(largest[scales == 0].any()):
        raise CodecError(f"{name}: values other than 0 in a block of scale 0")
    # Rounded up, a scale can be 2^-7 too large; subnormal ones are rounded more coarsely.
    if levels and bool((largest[scales >= 2.0**-126] < round(levels / (1 + 2.0**-7))).any()):
        raise CodecError(f"{name}: a scale is larger than the values of its block need")


def contraction_min(*, block: int, levels: int) -> float:
    """Return the least share of a block's energy that its quantization keeps.

    The worst block has one value of `levels` scales, and all others at half a scale, where an
    error is at most the value itself. What rounding up can add to a scale is 2^-7 of it.
    """
    largest = (levels / (1 + 2.0**-7)) ** 2
    return (largest - 0.25) / (largest + (block - 1) / 4)


def error_of(scales: NDArray[np.float32], *, block: int, size: int) -> torch.Tensor:
    """Return the largest error of each value, shape (size,): half a scale."""
    halves = np.repeat(scales * np.float32(0.50005), block)[:size]
    # The factor above 1/2 is for the rounding of the division, the floor for its underflow.
    return torch.from_numpy(np.maximum(halves, np.float32(2.0**-142)))
