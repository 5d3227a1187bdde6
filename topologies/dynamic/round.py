"""Who sends to whom in one round, and what that makes of everyone's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final, overload

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from topologies.mixing import Entries, to_dense, to_sparse
from topologies.parameters import check_flag

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@final
@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One round of a dynamic topology.

    Attributes:
        number: Of the round, from 0.
        out_neighbors: For each node those that it sends to, ascending, without itself.
    """

    number: int
    out_neighbors: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.out_neighbors)

    def in_neighbors(self) -> tuple[tuple[int, ...], ...]:
        """List for each node those that it hears, ascending."""
        heard: list[list[int]] = [[] for _ in self.out_neighbors]
        for sender, receivers in enumerate(self.out_neighbors):
            for receiver in receivers:
                heard[receiver].append(sender)
        return tuple(map(tuple, heard))

    def is_mutual(self) -> bool:
        """Return whether everyone hears exactly those that it sends to."""
        return self.in_neighbors() == self.out_neighbors

    def graph(self) -> nx.DiGraph:
        """Build the graph whose edges lead from sender to receiver, on the nodes 0 to n - 1."""
        graph = nx.empty_graph(len(self), create_using=nx.DiGraph)
        graph.add_edges_from(
            (sender, receiver)
            for sender, receivers in enumerate(self.out_neighbors)
            for receiver in receivers
        )
        return graph

    @overload
    def mixing_matrix(self, *, sparse: Literal[False] = ...) -> NDArray[np.float64]: ...

    @overload
    def mixing_matrix(self, *, sparse: Literal[True]) -> "csr_array": ...

    def mixing_matrix(self, *, sparse: bool = False) -> "NDArray[np.float64] | csr_array":
        """Compute the weights with which nodes average what they hear and their own row.

        Metropolis-Hastings weights where all edges are mutual, W_ij = 1 / (1 + max(d_i, d_j));
        otherwise means of what arrived, W_ij = 1 / (1 + d_i) with d_i rows heard.

        Args:
            sparse: Return a scipy.sparse.csr_array, which needs scipy, instead of an array.

        Returns:
            Shape (n, n), no entry negative, rows summing to 1; columns too if edges are mutual, or
            if everyone hears and sends equally many.

        Source: as `topologies.mixing.metropolis_hastings` and `uniform`. On directed rounds:
            de Vos et al. 2023, "Epidemic learning: boosting decentralized learning with randomized
            communication", algorithm 1.

        Raises:
            TopologyError: If `sparse` is neither true nor false.
        """
        sparse = check_flag("sparse", sparse)
        heard = self.in_neighbors()
        degrees = np.array(list(map(len, heard)), dtype=np.float64)
        receivers, senders = _pairs(heard)
        if heard == self.out_neighbors:
            weights = 1.0 / (1.0 + np.maximum(degrees[receivers], degrees[senders]))
        else:
            weights = 1.0 / (1.0 + degrees[receivers])
        return _matrix(len(self), receivers, senders, weights, sparse=sparse)

    @overload
    def shares(self, *, sparse: Literal[False] = ...) -> NDArray[np.float64]: ...

    @overload
    def shares(self, *, sparse: Literal[True]) -> "csr_array": ...

    def shares(self, *, sparse: bool = False) -> "NDArray[np.float64] | csr_array":
        """Compute what nodes give away in `topologies.push_sum`: equal parts, one of them kept.

        Returns:
            Shape (n, n), rows summing to 1: row i says which share node i gives to each.

        Raises:
            TopologyError: If `sparse` is neither true nor false.
        """
        sparse = check_flag("sparse", sparse)
        degrees = np.array(list(map(len, self.out_neighbors)), dtype=np.float64)
        senders, receivers = _pairs(self.out_neighbors)
        weights = 1.0 / (1.0 + degrees[senders])
        return _matrix(len(self), senders, receivers, weights, sparse=sparse)


def _pairs(neighbors: Sequence[Sequence[int]]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return node and neighbor of each pair, one array each."""
    counts = list(map(len, neighbors))
    others = [other for row in neighbors for other in row]
    return np.repeat(np.arange(len(neighbors)), counts), np.array(others, dtype=np.intp)


def _matrix(
    count: int,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    weights: NDArray[np.float64],
    *,
    sparse: bool,
) -> "NDArray[np.float64] | csr_array":
    """Build a matrix, leaving each row the rest to 1 on the diagonal."""
    nodes = np.arange(count, dtype=np.intp)
    entries = Entries(
        np.concatenate((rows, nodes)),
        np.concatenate((columns, nodes)),
        np.concatenate((weights, 1.0 - np.bincount(rows, weights=weights, minlength=count))),
    )
    return to_sparse(entries, count) if sparse else to_dense(entries, count)
