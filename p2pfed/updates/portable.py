"""Initial values that every machine computes to the same bit.

torch's generators differ between instruction sets, devices and versions; a counter-based integer
hash and three exactly rounded floating-point operations do not.
"""

import math
from hashlib import blake2b
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from p2pfed.updates.specification import ParameterEntry

# SplitMix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", fig. 14
# and 16 (the increment is the odd number next to 2^64 over the golden ratio).
_INCREMENT: Final = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2: Final = np.uint64(0x94D049BB133111EB)

_MANTISSA_BITS: Final = 24  # of float32: more random bits would be rounded away


def mix(key: int, counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash counters under a key: 64 uniform bits each.

    Args:
        key: 64 bits.
        counters: Any shape, uint64.

    Returns:
        The same shape, uint64.

    Source: Steele, Lea, Flood 2014, the SplitMix64 output function at a random access counter.
    """
    z = counters * _INCREMENT + np.uint64(key)  # arrays of uint64 wrap modulo 2^64
    z = (z ^ (z >> np.uint64(30))) * _MULTIPLIER_1
    z = (z ^ (z >> np.uint64(27))) * _MULTIPLIER_2
    return z ^ (z >> np.uint64(31))


def stream_key(seed: int, label: str) -> int:
    """Return the 64-bit key of the stream that a label names.

    Args:
        seed: The run's shared seed, in [0, 2^64).
        label: What the stream is for; another label is an independent stream.
    """
    key = seed.to_bytes(8, "little")
    return int.from_bytes(blake2b(label.encode(), key=key, digest_size=8).digest(), "little")


def uniform_values(seed: int, label: str, *, count: int, bound: float) -> Tensor:
    """Draw values of [-bound, bound) that are the same to the bit on every machine.

    Each value is an integer below 2^24 turned exactly into a multiple of 2^-23 in [-1, 1),
    multiplied once in float64 and rounded once to float32: both operations are fixed by IEEE 754.

    Returns:
        Shape (count,), float32, on the CPU.
    """
    bits = mix(stream_key(seed, label), np.arange(count, dtype=np.uint64))
    integers = (bits >> np.uint64(64 - _MANTISSA_BITS)).astype(np.float64)
    half = float(1 << (_MANTISSA_BITS - 1))
    return torch.from_numpy(((integers - half) / half * bound).astype(np.float32))


def initial_value(entry: ParameterEntry, given: Tensor, seed: int) -> Tensor:
    """Return the portable initial value of one tensor.

    A tensor whose values are all equal was set by its author and not drawn: it is kept (scales of
    normalization layers, layers that start at zero). Of all others, one-dimensional biases become
    zero, and the rest is drawn uniformly from +-1/sqrt(fan_in).

    Source: He et al. 2015, "Delving deep into rectifiers", eq. 14 with slope a = sqrt(5), which
    is what torch.nn.Linear, torch.nn.Conv2d and the A of LoRA in peft use; bias zero as there.
    Differs: uniform instead of Gaussian, with the same variance bound.

    Args:
        entry: Name and shape.
        given: What the model comes with, of that shape.
        seed: The run's shared seed, in [0, 2^64).

    Returns:
        Shape `entry.shape`, float32, on the CPU.
    """
    values = given.detach().float().cpu()
    is_bias = "bias" in entry.name.rpartition(".")[2] and len(entry.shape) <= 1
    # A single value is equal to itself and may still have been drawn; a scalar rarely is.
    can_be_set = entry.size > 1 or (len(entry.shape) <= 1 and not is_bias)
    if can_be_set and bool((values == values.view(-1)[0]).all()):
        return values.clone()
    if is_bias:
        return torch.zeros(entry.shape)
    fan_in = math.prod(entry.shape[1:]) if len(entry.shape) >= 2 else entry.size
    bound = 1.0 / math.sqrt(fan_in)  # gain * sqrt(3 / fan_in) with gain = sqrt(2 / (1 + 5))
    return uniform_values(seed, entry.name, count=entry.size, bound=bound).view(entry.shape)
