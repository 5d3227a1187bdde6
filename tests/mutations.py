"""Bytes that were something once: what a fuzz test hands to a decoder."""

import random


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, replace, cut, extend, swap or replace all."""
    mutated = bytearray(data)
    match rng.randrange(6):
        case 0 if mutated:
            mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
        case 1 if mutated:
            for _ in range(rng.randint(1, 3)):
                mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        case 2:
            del mutated[rng.randrange(len(mutated) + 1) :]
        case 3:
            mutated += rng.randbytes(rng.randrange(1, 9))
        case 4 if mutated:
            one, two = rng.randrange(len(mutated)), rng.randrange(len(mutated))
            mutated[one], mutated[two] = mutated[two], mutated[one]
        case _:
            mutated = bytearray(rng.randbytes(len(mutated)))
    return bytes(mutated)
