"""Whether a matrix is one with which peers can average."""

from typing import Final

import networkx as nx
import numpy as np

from topologies.errors import TopologyError
from topologies.matrices import Matrix, check_matrix
from topologies.parameters import check_flag, check_number, shown

_WITHIN: Final = 1e-9  # of a sum or a difference; rounding makes less than 1e-12


def check_mixing_matrix(
    matrix: Matrix,
    graph: nx.Graph | None = None,
    *,
    symmetric: bool = True,
    doubly_stochastic: bool = True,
    within: float = _WITHIN,
) -> None:
    """Complain about a matrix with which gossip would not do what it should.

    No entry may be negative and each row must sum to 1.

    Args:
        matrix: (n, n), an array or a scipy.sparse array.
        graph: Entries off the diagonal must be 0 where it has no edge. Its nodes are 0 to n - 1.
        symmetric: Whether W_ij = W_ji, too.
        doubly_stochastic: Whether columns sum to 1, too; otherwise the mean does not stay.
        within: What differs by less is equal.

    Raises:
        TopologyError: Naming the first row, column or entry that is wrong, and its value.
    """
    within = check_number("within", within, least=0.0, most=1.0)
    symmetric = check_flag("symmetric", symmetric)
    doubly_stochastic = check_flag("doubly_stochastic", doubly_stochastic)
    check_matrix(matrix)
    if matrix.min() < -within:
        _complain_of_entry(matrix < -within, matrix, "is negative; use shares of 1")
    _check_sums(matrix, "row", within)
    if doubly_stochastic:
        _check_sums(matrix, "column", within)
    if symmetric and abs(matrix - matrix.T).max() > within:
        _complain_of_entry(abs(matrix - matrix.T) > within, matrix, "differs from its mirror image")
    if graph is not None:
        _check_support(matrix, graph)


def _check_sums(matrix: Matrix, kind: str, within: float) -> None:
    sums = np.asarray(matrix.sum(axis=1 if kind == "row" else 0)).ravel()  # (n,)
    (wrong,) = np.nonzero(np.abs(sums - 1.0) > within)
    if len(wrong):
        raise TopologyError(
            f"matrix: {kind} {wrong[0]} sums to {sums[wrong[0]]:.12g}; make it sum to 1"
        )


def _check_support(matrix: Matrix, graph: nx.Graph) -> None:
    given: object = graph
    if not isinstance(given, nx.Graph):
        raise TopologyError(f"graph={shown(given)}: use a networkx.Graph, or leave it out")
    if matrix.shape[0] != len(graph):
        raise TopologyError(
            f"matrix of shape {matrix.shape}: the graph has {len(graph)} nodes; use as many rows"
        )
    for row, column in zip(*(each.tolist() for each in matrix.nonzero()), strict=True):
        if row != column and not graph.has_edge(row, column):
            raise TopologyError(
                f"matrix: entry ({row}, {column}) is {matrix[row, column]:.6g}, and the graph has "
                "no such edge; use 0"
            )


def _complain_of_entry(wrong: Matrix, matrix: Matrix, complaint: str) -> None:
    rows, columns = wrong.nonzero()
    row, column = int(rows[0]), int(columns[0])
    raise TopologyError(
        f"matrix: entry ({row}, {column}) is {matrix[row, column]:.6g}, which {complaint}"
    )
