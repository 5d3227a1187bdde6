"""Who the peers of a simulated world are, and where its random numbers come from.

Everything follows from one integer, so that real nodes can be given the identities of a scenario.
"""

import hashlib
import random
from typing import Final

from p2pfed.core.randomness import derive_random
from p2pfed.errors import ConfigError
from p2pfed.identity import Identity

_SEED_MAX: Final = 2**53 - 1  # of a run file's run.seed


def check_seed(seed: object) -> None:
    """Refuse what cannot be the seed of a simulation, which may be that of the run, too.

    Raises:
        ConfigError: If it is no whole number in [0, 2^53).
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _SEED_MAX:
        raise ConfigError("seed", seed, f"give a whole number from 0 to {_SEED_MAX}")


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
