"""Graphs of one size that come in one form only: nothing about them is random."""

import networkx as nx

from topologies.parameters import check_count


def line(*, nodes: int) -> nx.Graph:
    """Connect each node to the next: the slowest to mix, and any peer but the ends can cut it.

    Args:
        nodes: At least 1; one is a lone peer.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Chung 1997, "Spectral graph theory", example 1.4 (path). The Metropolis-Hastings matrix
        has the eigenvalues (1 + 2 cos(pi k / n)) / 3 for k = 0 to n - 1, n >= 3; the gap is
        2 (1 - cos(pi / n)) / 3, and 1 for n <= 2.
    Differs: the book's Laplacian is normalized by the degrees, which are smaller at the ends.
    Cost: O(n).
    """
    return nx.path_graph(check_count("nodes", nodes, least=1))


def ring(*, nodes: int) -> nx.Graph:
    """Connect each node to the next and the last to the first.

    Args:
        nodes: At least 3.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Chung 1997, "Spectral graph theory", example 1.5 (cycle). The Metropolis-Hastings
        matrix is I - 2/3 of the book's normalized Laplacian, with the eigenvalues
        (1 + 2 cos(2 pi k / n)) / 3 for k = 0 to n - 1; the gap is 2 (1 - cos(2 pi / n)) / 3.
    Differs: nothing.
    Cost: O(n).
    """
    return nx.cycle_graph(check_count("nodes", nodes, least=3))


def complete(*, nodes: int) -> nx.Graph:
    """Connect everyone: one round reaches consensus, at n - 1 messages per peer.

    Args:
        nodes: At least 1; one is a lone peer.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Chung 1997, "Spectral graph theory", example 1.1 (complete graph). Every entry of the
        Metropolis-Hastings matrix is 1 / n; the gap is 1.
    Differs: nothing.
    Cost: O(n^2).
    """
    return nx.complete_graph(check_count("nodes", nodes, least=1))


def star(*, nodes: int) -> nx.Graph:
    """Connect node 0 to all others: a server by another name, for comparison.

    Args:
        nodes: At least 2, the hub included.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Chung 1997, "Spectral graph theory", example 1.3 (star). The Metropolis-Hastings matrix
        is I - L / n with the eigenvalues 1, 1 - 1 / n (n - 2 times) and 0, where L is the
        Laplacian; the gap is 1 / n, and 1 for n = 2.
    Differs: the book's Laplacian is normalized by the degrees, L is not.
    Cost: O(n).
    """
    return nx.star_graph(check_count("nodes", nodes, least=2) - 1)
