"""Random generators: one per purpose, derived from a seed and labels, never a global one."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch

from p2pfed.learn.device import CPU


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return 63 bits that belong to a seed and a purpose.

    Args:
        seed: In [0, 2^64).
        labels: What the random numbers are for; other labels give independent numbers. Their
            borders and types count: ("a", "b") is not ("ab",), and 1 is not "1".
    """
    state = blake2b(key=seed.to_bytes(8, "little"), digest_size=8)
    for label in labels:
        encoded = repr(label).encode()
        state.update(len(encoded).to_bytes(4, "little") + encoded)
    return int.from_bytes(state.digest(), "little") >> 1  # torch's seeds are signed


def torch_generator(seed: int, *labels: str | int) -> torch.Generator:
    """Make a generator for torch on the CPU."""
    generator = torch.Generator(CPU)
    generator.manual_seed(derive_seed(seed, *labels))
    return generator


def numpy_generator(seed: int, *labels: str | int) -> np.random.Generator:
    """Make a generator for numpy."""
    return np.random.default_rng(derive_seed(seed, *labels))


@contextmanager
def global_generator(seed: int, *labels: str | int) -> Iterator[None]:
    """Seed torch's global generator for a library that knows no other, and restore it after.

    The global generator belongs to the process: call this only while no other thread draws.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, *labels))
        yield
