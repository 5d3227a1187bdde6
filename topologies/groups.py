"""Graphs of groups and levels, with places where they are easily cut: nothing is random."""

from itertools import combinations

import networkx as nx

from topologies.parameters import check_count


def dumbbell(*, nodes: int) -> nx.Graph:
    """Connect two halves in themselves completely, and with each other by one edge.

    The worst case for gossip and for robust rules: all that one half learns of the other passes
    one edge. Of an odd number the first half has one node more. The bridge connects the first
    nodes of both.

    Args:
        nodes: At least 2.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via
        self-centered clipping" (dumbbell, where the dissensus attack is shown).
    Differs: nothing.
    Cost: O(n^2).
    """
    nodes = check_count("nodes", nodes, least=2)
    first = (nodes + 1) // 2
    graph = nx.complete_graph(first)
    graph.add_nodes_from(range(first, nodes))
    graph.add_edges_from(combinations(range(first, nodes), 2))
    graph.add_edge(0, first)
    return graph


def tree(*, nodes: int, branching: int = 2) -> nx.Graph:
    """Connect each node to its children: as few edges as there can be, each of which cuts it.

    Args:
        nodes: At least 1; 0 is the root, and levels are filled from the left.
        branching: Children of a node, at least 1; 1 makes a line.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: Knuth 1997, "The art of computer programming", volume 1, section 2.3.4.5 (complete
        t-ary tree; numbered from 1, node k has the parent (k + t - 2) // t).
    Differs: nothing.
    Cost: O(n).
    """
    nodes = check_count("nodes", nodes, least=1)
    branching = check_count("branching", branching, least=1)
    graph = nx.empty_graph(nodes)
    graph.add_edges_from(((node - 1) // branching, node) for node in range(1, nodes))
    return graph


def hierarchical(*, nodes: int, group: int = 4) -> nx.Graph:
    """Connect groups completely, then their first nodes in groups of groups, up to one group.

    As sites with one gateway each are: most peers talk within their site, a few to the rest.

    Args:
        nodes: At least 1.
        group: Members of a group, at least 2; the last one of a level may have fewer.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: Liu et al. 2020, "Client-edge-cloud hierarchical federated learning", figure 1 (levels).
    Differs: there is no server on any level. The first member of a group speaks for it, and those
        who speak form groups in the same way.
    Cost: O(n group).
    """
    nodes = check_count("nodes", nodes, least=1)
    group = check_count("group", group, least=2)
    graph = nx.empty_graph(nodes)
    level = list(range(nodes))
    while len(level) > 1:
        groups = [level[start : start + group] for start in range(0, len(level), group)]
        for members in groups:
            graph.add_edges_from(combinations(members, 2))
        level = [members[0] for members in groups]
    return graph
