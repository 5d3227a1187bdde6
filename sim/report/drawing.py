"""Where the peers of a graph stand in a picture, and which edges are drawn."""

from collections.abc import Mapping, Sequence
from typing import Final

import networkx as nx

_SPREAD_PEERS_MAX: Final = 100  # the layout that shows shapes best takes a second for so many
_SPRING_PEERS_MAX: Final = 2_000  # the next best takes ten seconds
_EDGES_MAX: Final = 5_000  # lines that a browser still draws at once
_DIGITS: Final = 4  # of places: finer than a point on a screen

Pair = tuple[int, int]


def edges_drawn(links: Mapping[Pair, int]) -> list[tuple[Pair, int]]:
    """Return edges with the bytes of both directions, least used first, at most 5,000 of them.

    Args:
        links: Bytes by sender and receiver.
    """
    both: dict[Pair, int] = {}
    for (sender, receiver), count in links.items():
        pair = (min(sender, receiver), max(sender, receiver))
        both[pair] = both.get(pair, 0) + count
    return sorted(both.items(), key=lambda item: (item[1], item[0]))[-_EDGES_MAX:]


def positions(peer_count: int, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Return where each peer stands, by number.

    Args:
        peer_count: How many peers there are.
        pairs: Which of them are to be near each other.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(peer_count))
    graph.add_edges_from(sorted(pairs))
    if peer_count <= _SPREAD_PEERS_MAX:
        layout = nx.kamada_kawai_layout(graph)
    elif peer_count <= _SPRING_PEERS_MAX:
        layout = nx.spring_layout(graph, seed=0)
    else:
        layout = nx.circular_layout(graph)
    return [
        (round(float(layout[peer][0]), _DIGITS), round(float(layout[peer][1]), _DIGITS))
        for peer in range(peer_count)
    ]
