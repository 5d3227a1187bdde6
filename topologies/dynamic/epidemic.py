"""Rounds in which every node chooses anew to whom it sends."""

from collections.abc import Sequence

from topologies.draws import generator_of
from topologies.dynamic.cyclon import Cyclon, draw_others
from topologies.dynamic.topology import DynamicTopology
from topologies.errors import TopologyError
from topologies.parameters import check_count


def epidemic(*, nodes: int, degree: int = 2, seed: int) -> DynamicTopology:
    """Let each node send to some others, drawn anew in each round.

    How many a node hears varies: rows of the mixing matrix sum to 1, columns only on average.

    Args:
        nodes: More than `degree`.
        degree: To how many others each node sends, at least 1.
        seed: Equal seeds give equal rounds.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: de Vos et al. 2023, "Epidemic learning: boosting decentralized learning with randomized
        communication", algorithm 1 (EL-Local).
    Differs: nothing.
    Cost: O(n degree) per round.
    """
    nodes, degree = _check_degree(nodes, degree)

    def draw(number: int) -> Sequence[Sequence[int]]:
        generator = generator_of("epidemic", seed, number)
        return [draw_others(generator, node, nodes, degree) for node in range(nodes)]

    return DynamicTopology("epidemic", nodes, None, draw)


def peer_sampling(
    *, nodes: int, degree: int = 2, view: int | None = None, seed: int
) -> DynamicTopology:
    """Let each node send to some of those that it happens to know; whom it knows changes slowly.

    Each node keeps a view: a few others, with the age of that knowledge. In each round it swaps
    half of its view with the one that it has known for longest, itself included. No node needs to
    know all others, as `epidemic` has it.

    Args:
        nodes: More than `degree`.
        degree: To how many of its view each node sends, at least 1.
        view: How many others a node knows, from `degree` to nodes - 1; by default twice `degree`.
        seed: Equal seeds give equal rounds.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: Voulgaris, Gavidia and van Steen 2005, "CYCLON: inexpensive membership management for
        unstructured P2P overlays" (enhanced shuffling); Jelasity et al. 2007,
        "Gossip-based peer sampling", is the general frame.
    Differs: nodes swap one after the other in a random order, and none fails. Views begin at
        random, with the next node on a circle in each, so that together they are connected.
    Cost: O(n view) for each round since the one asked for last; for an earlier one, since the
        first.
    """
    nodes, degree = _check_degree(nodes, degree)
    size = min(2 * degree, nodes - 1) if view is None else check_count("view", view, least=degree)
    if size >= nodes:
        raise TopologyError(f"view={size}: use at most {nodes - 1} with nodes={nodes}")
    views = Cyclon(nodes, size, seed)

    def draw(number: int) -> Sequence[Sequence[int]]:
        known = views.at(number)
        generator = generator_of("peer-sampling/sends", seed, number)
        return [generator.sample(sorted(row), min(degree, len(row))) for row in known]

    return DynamicTopology("peer-sampling", nodes, None, draw)


def _check_degree(nodes: int, degree: int) -> tuple[int, int]:
    nodes = check_count("nodes", nodes, least=2)
    degree = check_count("degree", degree, least=1)
    if degree >= nodes:
        raise TopologyError(f"degree={degree}: use at most {nodes - 1} with nodes={nodes}")
    return nodes, degree
