"""Whom shares of the peers draw: how many, and who."""

import math
import random
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

_DIGITS: Final = 9  # of a number of peers; what is beyond is rounding of decimal fractions


def counts_of(shares: Sequence[float | None], *, of: int, free: int) -> list[int]:
    """Return how many peers each share draws: together what their sum comes to, rounded.

    Each draws the whole part of what it comes to, and those with the largest rests one more.

    Args:
        shares: None for an entry that names its peers.
        of: Peers, of which these are shares.
        free: Peers that may be drawn; entries take of them in order.
    """
    exact = [round((share or 0.0) * of, _DIGITS) for share in shares]
    counts = [math.floor(it) for it in exact]
    more = round(round(sum(exact), _DIGITS)) - sum(counts)
    for k in sorted(range(len(shares)), key=lambda k: counts[k] - exact[k])[:more]:
        counts[k] += 1
    for k, count in enumerate(counts):
        counts[k] = min(count, free)
        free -= counts[k]
    return counts


def deal(
    shares: Sequence[float | None], peers: Iterable[int], generator: random.Random, *, of: int
) -> list[list[int]]:
    """Draw the peers of each share, none for two.

    Args:
        shares: None for an entry that names its peers.
        peers: Who may be drawn.
        generator: Draws.
        of: Peers, of which these are shares.
    """
    shuffled = list(peers)
    generator.shuffle(shuffled)
    left = iter(shuffled)
    counts = counts_of(shares, of=of, free=len(shuffled))
    return [list(islice(left, count)) for count in counts]
