"""Which part of a world has which peers."""

from collections.abc import Sequence
from typing import Final

import networkx as nx
import numpy as np
from scipy.sparse import diags_array
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

_TOLERANCE: Final = 1e-2  # guess: any order that is near will do


def part_of_each(graph: nx.Graph, parts: int) -> list[int]:
    """Return the number of the part of each peer: as many in each, and few edges between them.

    Peers stand in a row, by number or by the second eigenvector of the graph (Fiedler 1973,
    "Algebraic connectivity of graphs"), whichever cuts fewer edges, and parts are pieces of it.
    What happens does not depend on it, only how much has to be exchanged.

    Args:
        graph: Nodes are 0 to n - 1.
        parts: How many parts; at most as many as nodes.
    """
    rows = [range(len(graph)), _spectral_row(graph)]
    return min((_cut(row, parts) for row in rows), key=lambda part_of: _crossing(graph, part_of))


def _cut(row: Sequence[int], parts: int) -> list[int]:
    part_of = [0] * len(row)
    for place, number in enumerate(row):
        part_of[number] = place * parts // len(row)
    return part_of


def _crossing(graph: nx.Graph, part_of: Sequence[int]) -> int:
    return sum(part_of[first] != part_of[second] for first, second in graph.edges)


def _spectral_row(graph: nx.Graph) -> Sequence[int]:
    """Return the nodes by their entries in the second eigenvector of D^-1/2 A D^-1/2."""
    nodes = range(len(graph))
    if len(graph) < 3 or graph.number_of_edges() == 0:
        return nodes
    matrix = nx.to_scipy_sparse_array(graph, nodelist=nodes, weight=None, dtype=float)
    roots = np.sqrt(np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1.0))
    scaled = diags_array(1.0 / roots) @ matrix @ diags_array(1.0 / roots)
    start = np.random.default_rng(0).standard_normal(len(graph))  # of its own it would draw one
    try:
        values, vectors = eigsh(scaled, k=2, which="LA", v0=start, tol=_TOLERANCE)
    except ArpackNoConvergence:
        return nodes
    second = vectors[:, int(np.argmin(values))] / roots
    return [int(node) for node in np.argsort(second, kind="stable")]
