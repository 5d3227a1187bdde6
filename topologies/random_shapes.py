"""Random graphs of published models; draws that are not connected are repeated."""

import random
from math import ceil, hypot, log, pi, sqrt

import networkx as nx

from topologies.draws import draw_connected, generator_of
from topologies.errors import TopologyError
from topologies.parameters import check_count, check_number


def erdos_renyi(*, nodes: int, probability: float | None = None, seed: int) -> nx.Graph:
    """Connect each pair of nodes by the toss of a coin.

    Args:
        nodes: At least 1.
        probability: Of an edge, 0 to 1. By default 2 ln(n) / n, twice the threshold above which
            such graphs are connected.
        seed: Equal seeds give equal graphs.

    Raises:
        TopologyError: If a parameter is out of range, or no draw was connected.

    Source: Gilbert 1959, "Random graphs", G(n, p); the threshold: Erdős and Rényi 1959, "On
        random graphs I", theorem 1.
    Differs: disconnected draws are repeated.
    Cost: O(n + edges) per draw.
    """
    nodes = check_count("nodes", nodes, least=1)
    if probability is None:
        probability = min(1.0, 2.0 * log(nodes) / nodes)
    chance = check_number("probability", probability, least=0.0, most=1.0)
    return draw_connected(
        "erdos-renyi",
        lambda generator: nx.fast_gnp_random_graph(nodes, chance, generator),
        seed=seed,
        asked=f"nodes={nodes}, probability={chance:g}",
        fix=f"a probability above {_threshold(nodes):.2g}",
    )


def watts_strogatz(*, nodes: int, degree: int = 4, probability: float = 0.1, seed: int) -> nx.Graph:
    """Let each node of a ring know its nearest, and some edges lead anywhere: a small world.

    Args:
        nodes: More than `degree`.
        degree: Neighbors before rewiring, even, half of them on each side; at least 2.
        probability: That an edge is rewired, 0 to 1.
        seed: Equal seeds give equal graphs.

    Raises:
        TopologyError: If a parameter is out of range, or no draw was connected.

    Source: Watts and Strogatz 1998, "Collective dynamics of 'small-world' networks", methods.
    Differs: disconnected draws are repeated.
    Cost: O(n degree) per draw.
    """
    nodes = check_count("nodes", nodes, least=3)
    degree = check_count("degree", degree, least=2)
    chance = check_number("probability", probability, least=0.0, most=1.0)
    if degree >= nodes:
        raise TopologyError(f"degree={degree}: use at most {nodes - 1} with nodes={nodes}")
    if degree % 2:
        raise TopologyError(
            f"degree={degree}: half of the neighbors are on each side; use degree={degree - 1}"
            + (f" or degree={degree + 1}" if degree + 1 < nodes else "")
        )
    return draw_connected(
        "watts-strogatz",
        lambda generator: nx.watts_strogatz_graph(nodes, degree, chance, generator),
        seed=seed,
        asked=f"nodes={nodes}, degree={degree}, probability={chance:g}",
        fix="a larger degree",
    )


def barabasi_albert(*, nodes: int, attachments: int = 2, seed: int) -> nx.Graph:
    """Let nodes come one by one and choose whom to know, the more likely the better known.

    A few hubs have many neighbors; most nodes have `attachments`.

    Args:
        nodes: More than `attachments`.
        attachments: Whom each new node connects to, at least 1.
        seed: Equal seeds give equal graphs.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: Barabási and Albert 1999, "Emergence of scaling in random networks".
    Differs: the first `attachments` + 1 nodes form a star. So the graph is always connected.
    Cost: O(n attachments).
    """
    nodes = check_count("nodes", nodes, least=2)
    attachments = check_count("attachments", attachments, least=1)
    if attachments >= nodes:
        raise TopologyError(
            f"attachments={attachments}: use at most {nodes - 1} with nodes={nodes}"
        )
    return nx.barabasi_albert_graph(
        nodes, attachments, generator_of("barabasi-albert", seed, attempt=0)
    )


def stochastic_block(
    *,
    nodes: int,
    blocks: int = 4,
    inside: float | None = None,
    between: float | None = None,
    seed: int,
) -> nx.Graph:
    """Divide the nodes into blocks that know each other better than they know the rest.

    The node attribute "block" says who belongs where.

    Args:
        nodes: At least `blocks`.
        blocks: How many, at least 1, of equal size but for one node.
        inside: Probability of an edge within a block, 0 to 1. By default such that a node has
            about 2 ln(n) neighbors in its block, or all of it.
        between: Probability of an edge between blocks, 0 to 1. By default a tenth of `inside`, and
            more where blocks are so small that this would leave some alone.
        seed: Equal seeds give equal graphs.

    Raises:
        TopologyError: If a parameter is out of range, or no draw was connected.

    Source: Holland, Laskey and Leinhardt 1983, "Stochastic blockmodels: first steps".
    Differs: disconnected draws are repeated.
    Cost: O(n + edges) per draw.
    """
    nodes = check_count("nodes", nodes, least=1)
    blocks = check_count("blocks", blocks, least=1)
    if blocks > nodes:
        raise TopologyError(f"blocks={blocks}: use at most {nodes} with nodes={nodes}")
    if inside is None:
        inside = min(1.0, 2.0 * log(nodes) * blocks / nodes)
    within = check_number("inside", inside, least=0.0, most=1.0)
    if between is None:
        # Blocks are connected as nodes are, above a threshold; half of it is not enough.
        between = min(1.0, max(within / 10.0, 2.0 * blocks * log(blocks) / nodes**2))
    across = check_number("between", between, least=0.0, most=1.0)
    sizes = [nodes // blocks + (block < nodes % blocks) for block in range(blocks)]
    chances = [[within if i == j else across for j in range(blocks)] for i in range(blocks)]

    def draw(generator: random.Random) -> nx.Graph:
        graph = nx.stochastic_block_model(sizes, chances, seed=generator)
        graph.graph.clear()  # it lists the members of the blocks once more
        return graph

    return draw_connected(
        "stochastic-block",
        draw,
        seed=seed,
        asked=f"nodes={nodes}, blocks={blocks}, inside={within:g}, between={across:g}",
        fix="larger probabilities",
    )


def geometric(*, nodes: int, radius: float | None = None, seed: int) -> nx.Graph:
    """Throw the nodes into a square of side 1 and connect those that are near: radio, mostly.

    The node attribute "position" says where each one is.

    Args:
        nodes: At least 1.
        radius: How far two neighbors are apart at most, 0 to sqrt(2). By default
            sqrt(2 ln(n) / (pi n)), where the square of it is twice the threshold above which such
            graphs are connected.
        seed: Equal seeds give equal graphs.

    Raises:
        TopologyError: If a parameter is out of range, or no draw was connected.

    Source: Gilbert 1961, "Random plane networks"; the threshold: Gupta and Kumar 1998, "Critical
        power for asymptotic connectivity in wireless networks".
    Differs: disconnected draws are repeated.
    Cost: O(n + edges) per draw.
    """
    nodes = check_count("nodes", nodes, least=1)
    if radius is None:
        radius = min(sqrt(2.0), sqrt(2.0 * log(nodes) / (pi * nodes)))
    reach = check_number("radius", radius, least=0.0, most=sqrt(2.0))
    return draw_connected(
        "geometric",
        lambda generator: _near(nodes, reach, generator),
        seed=seed,
        asked=f"nodes={nodes}, radius={reach:g}",
        fix=f"a radius above {sqrt(_threshold(nodes) / pi):.2g}",
    )


def _threshold(nodes: int) -> float:
    return log(nodes) / nodes


def _near(nodes: int, radius: float, generator: random.Random) -> nx.Graph:
    """Look for neighbors in the nine squares of side `radius` around each node."""
    graph = nx.empty_graph(nodes)
    places = [(generator.random(), generator.random()) for _ in range(nodes)]
    per_side = max(1, min(nodes, ceil(1.0 / radius) - 1)) if radius > 0.0 else nodes
    squares: dict[tuple[int, int], list[int]] = {}
    for node, (x, y) in enumerate(places):
        graph.nodes[node]["position"] = (x, y)
        squares.setdefault((int(x * per_side), int(y * per_side)), []).append(node)
    for (column, row), members in squares.items():
        around = [
            other
            for right in (-1, 0, 1)
            for up in (-1, 0, 1)
            for other in squares.get((column + right, row + up), ())
        ]
        graph.add_edges_from(
            (node, other)
            for node in members
            for other in around
            if node < other
            and hypot(places[node][0] - places[other][0], places[node][1] - places[other][1])
            <= radius
        )
    return graph
