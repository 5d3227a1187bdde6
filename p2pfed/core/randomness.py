"""Random numbers of the protocol: one per purpose, derived from a seed and a label."""

import hashlib
import random


def derive_random(seed: bytes, label: str) -> random.Random:
    """Return a generator that depends on nothing but its arguments.

    Adding another label never shifts the numbers of this one.
    """
    digest = hashlib.blake2b(label.encode(), key=seed[:64], digest_size=32).digest()
    return random.Random(int.from_bytes(digest, "little"))


def derive_number(seed: bytes, label: str) -> int:
    """Return the first 64 bits of `derive_random`; the generator itself takes 3 kB."""
    return derive_random(seed, label).getrandbits(64)


def derive_lot(seed: bytes, label: str) -> bytes:
    """Return what is drawn for a label, to be compared with that of others: 8 bytes."""
    return hashlib.blake2b(label.encode(), key=seed[:64], digest_size=8).digest()
