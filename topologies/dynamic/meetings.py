"""Rounds in which every node meets one other at most: the least that a round can cost."""

from collections.abc import Sequence

from topologies.draws import generator_of
from topologies.dynamic.topology import DynamicTopology
from topologies.parameters import check_count


def one_peer_exponential(*, nodes: int) -> DynamicTopology:
    """Let each node send to the one 1, 2, 4, … places further on a circle, in turn.

    If the number of nodes is a power of two, log2(n) rounds make all rows exactly equal; otherwise
    they come near.

    Args:
        nodes: At least 2.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Ying et al. 2021, "Exponential graph is provably efficient for decentralized deep
        training" (one-peer exponential graph, and its exact averaging after log2(n) rounds).
    Differs: nothing.
    Cost: O(n) per round.
    """
    nodes = check_count("nodes", nodes, least=2)

    def draw(number: int) -> Sequence[Sequence[int]]:
        return [((node + (1 << number)) % nodes,) for node in range(nodes)]

    return DynamicTopology("one-peer-exponential", nodes, (nodes - 1).bit_length(), draw)


def random_matchings(*, nodes: int, seed: int) -> DynamicTopology:
    """Pair the nodes anew in each round; of an odd number one is left alone.

    Args:
        nodes: At least 2.
        seed: Equal seeds give equal rounds.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Ghosh and Muthukrishnan 1996, "Dynamic load balancing by random matchings".
    Differs: pairs are drawn uniformly from all nodes, not from the edges of a graph.
    Cost: O(n) per round.
    """
    nodes = check_count("nodes", nodes, least=2)

    def draw(number: int) -> Sequence[Sequence[int]]:
        order = list(range(nodes))
        generator_of("random-matchings", seed, number).shuffle(order)
        partners: list[tuple[int, ...]] = [()] * nodes
        for one, other in zip(order[::2], order[1::2], strict=False):
            partners[one], partners[other] = (other,), (one,)
        return partners

    return DynamicTopology("random-matchings", nodes, None, draw)
