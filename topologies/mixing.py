"""Mixing matrices of a graph whose nodes are 0 to n - 1."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, final

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from topologies.fastest_mixing import fastest_weights

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
    degrees, low, high = _degrees(graph), *_ends(graph)
    return _symmetric(len(graph), low, high, 1.0 / (1.0 + np.maximum(degrees[low], degrees[high])))


def lazy(graph: nx.Graph) -> Entries:
    """Keep half of the own row: (I + W) / 2, where W is the Metropolis-Hastings matrix.

    No eigenvalue is negative then, which methods on top of gossip may demand; where none was, it
    halves the gap.

    Source: Levin, Peres and Wilmer 2009, "Markov chains and mixing times", section 1.3 (lazy
        version of a chain).
    Differs: nothing.
    Cost: O(n + edges) time and memory.
    """
    rows, columns, values = metropolis_hastings(graph)
    return Entries(rows, columns, 0.5 * values + 0.5 * (rows == columns))


def max_degree(graph: nx.Graph) -> Entries:
    """Weigh every edge alike: W = I - L / (1 + the largest degree), where L is the Laplacian.

    All peers have to know the largest degree. A single hub slows everyone down.

    Source: Xiao, Boyd and Kim 2007, "Distributed average consensus with least-mean-square
        deviation" (maximum-degree weights).
    Differs: one more than the largest degree, so that everyone keeps some of its own row, and
        even cycles do not oscillate.
    Cost: O(n + edges) time and memory.
    """
    low, high = _ends(graph)
    weight = 1.0 / (1.0 + _degrees(graph).max(initial=0.0))
    return _symmetric(len(graph), low, high, np.full(len(low), weight))


def uniform(graph: nx.Graph) -> Entries:
    """Average the own row and all neighbors' alike: W_ij = 1 / (1 + d_i).

    Rows sum to 1, columns do not where degrees differ: peers agree on a mean in which node i counts
    as 1 + d_i. Read as the shares that node i gives away, `push_sum` finds the plain mean.

    Source: Jadbabaie, Lin and Morse 2003, "Coordination of groups of mobile autonomous agents using
        nearest neighbor rules", eqs. (1) and (2).
    Differs: nothing.
    Cost: O(n + edges) time and memory.
    """
    count, (low, high) = len(graph), _ends(graph)
    nodes = np.arange(count, dtype=np.intp)
    rows = np.concatenate((low, high, nodes))
    return Entries(rows, np.concatenate((high, low, nodes)), (1.0 / (1.0 + _degrees(graph)))[rows])


def optimized(graph: nx.Graph) -> Entries:
    """Choose the weights with which peers agree fastest, for graphs of at most 1,000 edges.

    Somebody has to know the whole graph, and compute them. No entry is negative; some peers may
    keep nothing of their own row.

    Raises:
        TopologyError: If the graph has more edges.

    Source: Boyd, Diaconis and Xiao 2004, "Fastest mixing Markov chain on a graph": the
        symmetric W without negative entries and with the smallest max(|lambda_2|, |lambda_n|).
    Differs: that is solved by an interior-point method, to within 1e-6 of the optimum.
    Cost: O(edges^3) time for each of some 50 to 200 steps, O(edges^2) memory.
    """
    low, high = _ends(graph)
    return _symmetric(len(graph), low, high, fastest_weights(len(graph), low, high))


# The name of each matrix -> how its entries come about.
MIXING_MATRICES: Final[Mapping[str, Callable[[nx.Graph], Entries]]] = {
    "lazy": lazy,
    "max-degree": max_degree,
    "metropolis": metropolis_hastings,
    "optimized": optimized,
    "uniform": uniform,
}

# Those that keep the mean: symmetric, with columns that sum to 1 as the rows do.
DOUBLY_STOCHASTIC: Final = frozenset(MIXING_MATRICES) - {"uniform"}


def to_dense(entries: Entries, count: int) -> NDArray[np.float64]:
    """Build the matrix as an array of shape (count, count)."""
    matrix = np.zeros((count, count))
    matrix[entries.rows, entries.columns] = entries.values
    return matrix


def to_sparse(entries: Entries, count: int) -> "csr_array":
    """Build the matrix as a scipy.sparse.csr_array of shape (count, count)."""
    from scipy.sparse import csr_array  # large, and needed by those alone who ask for it

    return csr_array((entries.values, (entries.rows, entries.columns)), shape=(count, count))


def _degrees(graph: nx.Graph) -> NDArray[np.float64]:
    return np.array([graph.degree[node] for node in range(len(graph))], dtype=np.float64)  # (n,)


def _ends(graph: nx.Graph) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the lower and the higher end of each edge, (edges,) each, in ascending order."""
    pairs = np.array(sorted(tuple(sorted(edge)) for edge in graph.edges), dtype=np.intp)
    low, high = pairs.reshape(-1, 2).T
    return low, high


def _symmetric(
    count: int, low: NDArray[np.intp], high: NDArray[np.intp], weights: NDArray[np.float64]
) -> Entries:
    """Give both ends of each edge its weight, and leave each node the rest to 1."""
    rows, columns = np.concatenate((low, high)), np.concatenate((high, low))
    both = np.concatenate((weights, weights))
    given = np.bincount(rows, weights=both, minlength=count)  # (n,)
    nodes = np.arange(count, dtype=np.intp)
    return Entries(
        np.concatenate((rows, nodes)),
        np.concatenate((columns, nodes)),
        np.concatenate((both, 1.0 - given)),
    )
