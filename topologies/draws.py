"""Random graphs: where their randomness comes from, and what happens to disconnected ones."""

import random
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import networkx as nx

from topologies.errors import TopologyError

# Where nearly all graphs are connected, a hundred misses in a row do not happen; where nearly none
# is, more attempts only take longer.
ATTEMPTS_MAX: Final = 100


def generator_of(name: str, seed: int, attempt: int) -> random.Random:
    """Return the generator of one attempt, or of one round, at a topology."""
    label = f"topologies/{name}/{seed}/{attempt}".encode()
    return random.Random(blake2b(label, digest_size=16).digest())


def draw_connected(
    name: str, draw: Callable[[random.Random], nx.Graph], *, seed: int, asked: str, fix: str
) -> nx.Graph:
    """Draw until a graph is connected, at most `ATTEMPTS_MAX` times.

    Args:
        name: The topology's, of which the generators depend.
        draw: Makes a graph from a generator.
        seed: Equal seeds give equal graphs.
        asked: Parameters and values, for the error.
        fix: What to do about them, for the error.

    Raises:
        TopologyError: If no graph was connected.
    """
    for attempt in range(ATTEMPTS_MAX):
        graph = draw(generator_of(name, seed, attempt))
        if nx.is_connected(graph):
            return graph
    raise TopologyError(
        f"seed={seed}: no connected graph of {asked} in {ATTEMPTS_MAX} attempts; "
        f"use another seed or {fix}"
    )
