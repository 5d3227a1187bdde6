"""Random graphs in which every node has equally many neighbors."""

import random

import networkx as nx

from topologies.draws import draw_connected
from topologies.errors import TopologyError
from topologies.parameters import check_count


def k_regular(*, nodes: int, degree: int, seed: int) -> nx.Graph:
    """Draw a connected graph in which every node has `degree` neighbors.

    The default for experiments: it mixes nearly as fast as any graph with that many edges, and no
    node is more important than another.

    Args:
        nodes: More than `degree`; nodes * degree is even.
        degree: At least 1; 1 only connects two nodes.
        seed: Equal seeds give equal graphs.

    Raises:
        TopologyError: If no such graph exists, or none was drawn in `ATTEMPTS_MAX` attempts. All
            but few are connected: of those with 8 nodes and degree 3, 19,320 of 19,355.

    Source: Steger and Wormald 1999, "Generating random regular graphs quickly".
    Differs: disconnected draws are repeated. Of degree 2, where nearly all are, a random cycle
        over all nodes is drawn instead, which has the same distribution as repeating would. Above
        half of all nodes, where the algorithm seldom ends, the complement is drawn.
    Cost: O(n degree^2) expected time.
    """
    nodes = check_count("nodes", nodes, least=2)
    degree = check_count("degree", degree, least=1)
    _check_exists(nodes, degree)
    return draw_connected(
        "k-regular",
        lambda generator: _draw(nodes, degree, generator),
        seed=seed,
        asked=f"nodes={nodes}, degree={degree}",
        fix="a larger degree",
    )


def _check_exists(nodes: int, degree: int) -> None:
    if degree >= nodes:
        raise TopologyError(f"degree={degree}: use at most {nodes - 1} with nodes={nodes}")
    if degree == 1 and nodes > 2:
        raise TopologyError(f"degree=1: leaves {nodes} nodes in pairs; use at least 2")
    if nodes * degree % 2 == 1:
        raise TopologyError(
            f"degree={degree}: every edge has two ends, so nodes * degree is even; use degree="
            f"{degree - 1} or nodes={nodes + 1}"
        )


def _draw(nodes: int, degree: int, generator: random.Random) -> nx.Graph:
    if degree == 2:
        order = list(range(nodes))
        generator.shuffle(order)
        return nx.cycle_graph(order)
    if 2 * degree >= nodes:
        return nx.complement(nx.random_regular_graph(nodes - 1 - degree, nodes, generator))
    return nx.random_regular_graph(degree, nodes, generator)
