"""A connected graph whose nodes are numbered, and what gossip on it is like."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final, overload

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from topologies.errors import TopologyError
from topologies.mixing import MIXING_MATRICES, to_dense, to_sparse
from topologies.parameters import check_choice, check_count, check_flag, check_text, shown
from topologies.spectrum import effective_neighbors, rounds_to, slowest_factor

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@final
@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """A simple connected graph on the nodes 0 to n - 1; made by `create` or `from_graph`.

    What takes `kind` and `sparse` is about the matrix that `mixing_matrix` makes of them. Of sparse
    matrices eigenvalues are found for 10,000 nodes and more; dense ones take O(n^3) time.

    Attributes:
        name: What it was made as.
        graph: The graph. Frozen: its nodes and edges stay, their attributes may be set;
            `nx.Graph(net.graph)` is a copy that may be changed.
    """

    name: str
    graph: nx.Graph

    def __len__(self) -> int:
        return len(self.graph)

    def neighbors(self, node: int) -> list[int]:
        """List the neighbors of a node, ascending.

        Raises:
            TopologyError: If there is no such node.
        """
        if node not in self.graph:
            raise TopologyError(f"node={shown(node)}: the nodes are 0 to {len(self) - 1}")
        return sorted(self.graph[node])

    @overload
    def mixing_matrix(
        self, kind: str = ..., *, steps: int = ..., sparse: Literal[False] = ...
    ) -> NDArray[np.float64]: ...

    @overload
    def mixing_matrix(
        self, kind: str = ..., *, steps: int = ..., sparse: Literal[True]
    ) -> "csr_array": ...

    @overload
    def mixing_matrix(
        self, kind: str = ..., *, steps: int = ..., sparse: bool
    ) -> "NDArray[np.float64] | csr_array": ...

    def mixing_matrix(
        self, kind: str = "metropolis", *, steps: int = 1, sparse: bool = False
    ) -> "NDArray[np.float64] | csr_array":
        """Compute the weights with which neighbors average, W.

        Args:
            kind: "metropolis", the weights of Metropolis and Hastings; "lazy", half of them;
                "max-degree", equal weights; "optimized", the fastest; "uniform", plain means of
                neighborhoods. `topologies.mixing` says more of each.
            steps: Of gossip in a round, at least 1: W to this power is returned.
            sparse: Return a scipy.sparse.csr_array, which needs scipy, instead of an array.

        Returns:
            Shape (n, n), float64, no entry negative, each row summing to 1. All but "uniform" are
            symmetric, so that columns sum to 1 too. With one step an entry off the diagonal is
            positive exactly for an edge.

        Raises:
            TopologyError: If `kind` is unknown or cannot be had for this graph, or `steps` is out
                of range.
        """
        kind = check_choice("kind", kind, MIXING_MATRICES)
        steps = check_count("steps", steps, least=1)
        sparse = check_flag("sparse", sparse)
        entries = MIXING_MATRICES[kind](self.graph)
        if not sparse:
            dense = to_dense(entries, len(self))
            return dense if steps == 1 else np.linalg.matrix_power(dense, steps)
        matrix = power = to_sparse(entries, len(self))
        for _ in range(steps - 1):
            power = power @ matrix
        return power

    def spectral_gap(self, kind: str = "metropolis", *, sparse: bool = False) -> float:
        """Compute 1 - max(|lambda_2|, |lambda_n|) of the mixing matrix.

        One round of plain gossip shortens the distance from consensus by at least the factor
        1 - gap, if the matrix is symmetric. A lone node is in consensus: its gap is 1.

        Returns:
            0 to 1; of connected graphs with Metropolis-Hastings weights never 0.

        Source: Xiao and Boyd 2004, "Fast linear iterations for distributed averaging", the
            convergence factor of a symmetric W, max(|lambda_2|, |lambda_n|).
        Differs: nothing.
        Cost: O(n^3) time, O(n^2) memory, but for sparse matrices: `spectrum.slowest_factor`.
        """
        return 1.0 - self.contraction(kind, sparse=sparse)

    def contraction(
        self, kind: str = "metropolis", *, steps: int = 1, sparse: bool = False
    ) -> float:
        """Compute lambda^steps, with lambda = max(|lambda_2|, |lambda_n|).

        A round of so many steps of gossip multiplies the distance from consensus by no more. Of
        "uniform", which is not symmetric, this holds on average over many rounds only.

        Source: Shi et al. 2023, "Improving the model consistency of
            decentralized federated learning" (DFedSAM-MGS), where lambda^Q takes the place of
            lambda after Q gossip steps.
        """
        steps = check_count("steps", steps, least=1)
        return slowest_factor(self.mixing_matrix(kind, sparse=sparse)) ** steps

    def rounds_to(
        self, ratio: float, kind: str = "metropolis", *, steps: int = 1, sparse: bool = False
    ) -> int:
        """Predict how many rounds bring peers to `ratio` of their distance from consensus.

        Args:
            ratio: Above 0 and below 1, such as 1e-3.
            kind: As in `mixing_matrix`.
            steps: Of gossip in a round.
            sparse: As in `mixing_matrix`.

        Returns:
            At least 1. Starts in the slowest direction need all of them, most need fewer.
        """
        return rounds_to(ratio, self.contraction(kind, sparse=sparse), steps=steps)

    def effective_neighbors(
        self, kind: str = "metropolis", *, decay: float = 0.9, sparse: bool = False
    ) -> float:
        """Compute over how many peers' noise a peer averages: `spectrum.effective_neighbors`."""
        return effective_neighbors(self.mixing_matrix(kind, sparse=sparse), decay=decay)


def from_graph(graph: nx.Graph, *, name: str = "custom") -> Topology:
    """Take any graph as a topology.

    Nodes become 0 to n - 1 in their sorted order, or in the graph's own order if their labels
    cannot be sorted. Node and edge attributes are kept; what a node was called stands in its
    attribute "label".

    Args:
        graph: Undirected, without parallel edges and self-loops, connected. Not changed.
        name: What to call it.

    Returns:
        The topology, on a copy.

    Raises:
        TopologyError: If the graph is not as described.
    """
    check_graph(graph)
    check_text("name", name)
    number = {label: node for node, label in enumerate(_in_order(graph))}
    copy = nx.Graph()
    copy.graph.update(graph.graph)
    for label, node in number.items():
        copy.add_node(node)
        copy.nodes[node].update(graph.nodes[label], label=label)
    ends = {tuple(sorted((number[u], number[v]))): data for u, v, data in graph.edges(data=True)}
    for edge in sorted(ends):
        copy.add_edge(*edge)
        copy.edges[edge].update(ends[edge])
    return Topology(name, nx.freeze(copy))


def check_graph(graph: nx.Graph) -> None:
    """Complain about a graph that can be no topology.

    Raises:
        TopologyError: If it is not as `from_graph` says.
    """
    given: object = graph
    if not isinstance(given, nx.Graph):
        raise TopologyError(
            f"graph={shown(given)}: use a networkx.Graph, such as nx.Graph([(0, 1)])"
        )
    if graph.is_directed() or graph.is_multigraph():
        raise TopologyError(f"graph of type {type(graph).__name__}: convert it by nx.Graph(graph)")
    if len(graph) == 0:
        raise TopologyError("graph without nodes: use at least one")
    loops = sorted(map(repr, nx.nodes_with_selfloops(graph)))
    if loops:
        raise TopologyError(
            f"graph with self-loops at {', '.join(loops[:5])}: remove edges from a node to itself "
            "(nx.selfloop_edges)"
        )
    if not nx.is_connected(graph):
        parts = sorted(map(len, nx.connected_components(graph)))
        raise TopologyError(
            f"graph in {len(parts)} parts, the smallest of {parts[0]} nodes: connect them, or take "
            "the largest part"
        )


def _in_order(graph: nx.Graph) -> list[Hashable]:
    try:
        return sorted(graph)
    except TypeError:
        return list(graph)
