"""Who the peers of a simulated world are, and where its random numbers come from.

Everything follows from one integer, so that real nodes can be given the identities of a scenario.
"""

import hashlib
import random

from p2pfed.core.randomness import derive_random
from p2pfed.identity import Identity


def seed_bytes(seed: int, purpose: str) -> bytes:
    """Return 32 bytes that belong to a world's seed and a purpose."""
    text = f"p2pfed-sim-1/{seed}/{purpose}"
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def identity_of(seed: int, index: int) -> Identity:
    """Return the identity of a peer of a scenario.

    Args:
        seed: The seed of the run.
        index: Number of the peer in the topology, from 0.
    """
    return Identity(seed_bytes(seed, f"identity/{index}"))


def entropy_of(seed: int, index: int, life: int) -> bytes:
    """Return what a peer's core gets as its entropy in one life, 32 bytes.

    Args:
        seed: The seed of the run.
        index: Number of the peer.
        life: How often the peer was started before, from 0.
    """
    return seed_bytes(seed, f"entropy/{index}/{life}")


def random_for(seed: int, purpose: str) -> random.Random:
    """Return a generator of its own for a purpose; other purposes never shift its numbers."""
    return derive_random(seed_bytes(seed, "random"), purpose)
