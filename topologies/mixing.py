"""Mixing matrices of a graph whose nodes are 0 to n - 1."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, final

import networkx as nx
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@final
class Entries(NamedTuple):
    """The entries of an (n, n) matrix that may differ from 0, in three arrays of one length."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float64]


def metropolis_hastings(graph: nx.Graph) -> Entries:
    """Weigh each edge by its busier end: W_ij = 1 / (1 + max(d_i, d_j)), W_ii the rest to 1.

    Two neighbors find their weight from each other's degree alone; no peer has to know the graph.

    Source: Xiao, Boyd and Lall 2006, "Distributed average consensus with time-varying Metropolis
        weights", the definition of these weights.
    Differs: nothing.
    Cost: O(n + edges) time and memory.
    """
    count = len(graph)
    degrees = np.array([graph.degree[node] for node in range(count)], dtype=np.float64)  # (n,)
    pairs = np.array(sorted(tuple(sorted(edge)) for edge in graph.edges), dtype=np.intp)
    low, high = pairs.reshape(-1, 2).T  # (edges,) each
    weights = 1.0 / (1.0 + np.maximum(degrees[low], degrees[high]))
    rows, columns = np.concatenate((low, high)), np.concatenate((high, low))
    both = np.concatenate((weights, weights))
    given = np.bincount(rows, weights=both, minlength=count)  # (n,)
    nodes = np.arange(count, dtype=np.intp)
    return Entries(
        np.concatenate((rows, nodes)),
        np.concatenate((columns, nodes)),
        np.concatenate((both, 1.0 - given)),
    )


MIXING_MATRICES: Final[Mapping[str, Callable[[nx.Graph], Entries]]] = {
    "metropolis": metropolis_hastings,
}


def to_dense(entries: Entries, count: int) -> NDArray[np.float64]:
    """Build the matrix as an array of shape (count, count)."""
    matrix = np.zeros((count, count))
    matrix[entries.rows, entries.columns] = entries.values
    return matrix


def to_sparse(entries: Entries, count: int) -> "csr_array":
    """Build the matrix as a scipy.sparse.csr_array of shape (count, count)."""
    from scipy.sparse import csr_array  # the only use of scipy, which is large

    return csr_array((entries.values, (entries.rows, entries.columns)), shape=(count, count))
