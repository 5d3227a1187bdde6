"""Graphs in which nodes have places and neighbors at fixed steps: nothing about them is random."""

from math import isqrt

import networkx as nx

from topologies.errors import TopologyError
from topologies.parameters import check_count


def torus(*, nodes: int, rows: int | None = None) -> nx.Graph:
    """Connect each node of a lattice to its four neighbors, across the borders too.

    Args:
        nodes: At least 4, rows * columns.
        rows: How many, at least 2; by default the most that make no more rows than columns. In a
            direction of two nodes both steps lead to the same neighbor.

    Raises:
        TopologyError: If the nodes do not fill rows and columns of at least 2.

    Source: Chung 1997, "Spectral graph theory", example 1.5 (cycle) and chapter 2 (products).
        With at least 3 rows and columns the Metropolis-Hastings matrix has the eigenvalues
        (1 + 2 cos(2 pi a / rows) + 2 cos(2 pi b / columns)) / 5.
    Differs: nothing.
    Cost: O(n).
    """
    return _lattice(*_sides(nodes, rows), wraps=True)


def grid(*, nodes: int, rows: int | None = None) -> nx.Graph:
    """Connect each node of a lattice to its neighbors; those at the border have fewer.

    Args:
        nodes: At least 4, rows * columns.
        rows: How many, at least 2; by default the most that make no more rows than columns.

    Raises:
        TopologyError: If the nodes do not fill rows and columns of at least 2.

    Source: Chung 1997, "Spectral graph theory", example 1.4 (path) and chapter 2 (products).
    Differs: nothing.
    Cost: O(n).
    """
    return _lattice(*_sides(nodes, rows), wraps=False)


def hypercube(*, nodes: int) -> nx.Graph:
    """Number the nodes in binary and connect those whose numbers differ in one bit.

    Args:
        nodes: A power of two, at least 2.

    Raises:
        TopologyError: If it is none.

    Source: Chung 1997, "Spectral graph theory", example 1.6 (n-cube). With d = log2(nodes) the
        Metropolis-Hastings matrix has the eigenvalues (1 + d - 2 k) / (1 + d) for k = 0 to d; the
        gap is 2 / (1 + d).
    Differs: nothing.
    Cost: O(n log n).
    """
    nodes = check_count("nodes", nodes, least=2)
    if nodes & (nodes - 1):
        below = 1 << (nodes.bit_length() - 1)
        raise TopologyError(
            f"nodes={nodes}: a hypercube has a power of two; use nodes={below} or nodes={2 * below}"
        )
    bits = [1 << place for place in range(nodes.bit_length() - 1)]
    return nx.Graph([(node, node ^ bit) for node in range(nodes) for bit in bits])


def exponential(*, nodes: int) -> nx.Graph:
    """Connect each node to those 1, 2, 4, 8, … places away, in both directions, on a circle.

    About 2 log2(n) neighbors, and a gap that shrinks as 1 / log2(n) only.

    Args:
        nodes: At least 2.

    Raises:
        TopologyError: If `nodes` is out of range.

    Source: Ying et al. 2021, "Exponential graph is provably efficient for decentralized deep
        training" (static exponential graph).
    Differs: there peers send in one direction only, to log2(n) others. Here they send in both. The
        Metropolis-Hastings matrix has the eigenvalues (1 + sum of cos(2 pi k s / n)) / (1 + d)
        for k = 0 to n - 1, where s goes through the d steps that lead to different nodes.
    Cost: O(n log n).
    """
    nodes = check_count("nodes", nodes, least=2)
    steps = [1 << power for power in range((nodes - 1).bit_length())]
    return nx.Graph([(node, (node + step) % nodes) for node in range(nodes) for step in steps])


def _sides(nodes: int, rows: int | None) -> tuple[int, int]:
    nodes = check_count("nodes", nodes, least=4)
    divisors = [it for it in range(2, isqrt(nodes) + 1) if nodes % it == 0]
    if not divisors:
        raise TopologyError(
            f"nodes={nodes}: is prime, and a lattice has rows * columns; use nodes={nodes + 1}"
        )
    if rows is None:
        return divisors[-1], nodes // divisors[-1]
    rows = check_count("rows", rows, least=2)
    if nodes % rows or rows == nodes:
        fitting = sorted({*divisors, *(nodes // it for it in divisors)})
        raise TopologyError(f"rows={rows}: {nodes} nodes do not fill them; use one of {fitting}")
    return rows, nodes // rows


def _lattice(rows: int, columns: int, *, wraps: bool) -> nx.Graph:
    edges = []
    for node in range(rows * columns):
        row, column = divmod(node, columns)
        if wraps or column + 1 < columns:
            edges.append((node, row * columns + (column + 1) % columns))
        if wraps or row + 1 < rows:
            edges.append((node, (row + 1) % rows * columns + column))
    return nx.Graph(edges)
