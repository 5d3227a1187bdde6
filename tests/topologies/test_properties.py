"""What holds for topologies of any size and seed, and for graphs that nobody named."""

from random import Random

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import topologies
from tests.topologies.cases import NAMES, exists, make
from topologies.mixing import DOUBLY_STOCHASTIC, MIXING_MATRICES
from topologies.spectrum import slowest_factor

FEW = settings(max_examples=60)


pytestmark = pytest.mark.slow


@st.composite
def graphs(draw: st.DrawFn) -> nx.Graph:
    """Draw a connected graph: a random tree and some more edges."""
    nodes = draw(st.integers(1, 12))
    generator = Random(draw(st.integers(0, 2**32)))
    graph = nx.empty_graph(nodes)
    graph.add_edges_from((node, generator.randrange(node)) for node in range(1, nodes))
    for _ in range(draw(st.integers(0, 20))):
        one, other = generator.randrange(nodes), generator.randrange(nodes)
        if one != other:
            graph.add_edge(one, other)
    return graph


@FEW
@given(name=st.sampled_from(NAMES), nodes=st.integers(1, 48), seed=st.integers(0, 2**64))
def test_shapes_are_connected_and_repeatable(name: str, nodes: int, seed: int) -> None:
    assume(exists(name, nodes))
    net = make(name, nodes, seed)
    assert (len(net), list(net.graph)) == (nodes, list(range(nodes)))
    assert nx.is_connected(net.graph)
    assert nx.number_of_selfloops(net.graph) == 0
    assert list(make(name, nodes, seed).graph.edges) == list(net.graph.edges)


@FEW
@given(name=st.sampled_from(NAMES), nodes=st.integers(-3, 48), seed=st.integers(0, 9))
def test_shapes_exist_or_say_what_to_do(name: str, nodes: int, seed: int) -> None:
    if exists(name, nodes):
        assert len(make(name, nodes, seed)) == nodes
        return
    with pytest.raises(topologies.TopologyError, match="use "):
        make(name, nodes, seed)


@settings(max_examples=100)
@given(graph=graphs(), kind=st.sampled_from(sorted(set(MIXING_MATRICES) - {"optimized"})))
def test_matrices_average(graph: nx.Graph, kind: str) -> None:
    net = topologies.from_graph(graph)
    keeps_mean = kind in DOUBLY_STOCHASTIC
    matrix = net.mixing_matrix(kind)
    assert (matrix >= 0.0).all()
    assert (np.diagonal(matrix) > 0.0).all()
    topologies.check_mixing_matrix(
        matrix, net.graph, symmetric=keeps_mean, doubly_stochastic=keeps_mean
    )
    off_diagonal = matrix - np.diag(np.diagonal(matrix))
    assert np.array_equal(off_diagonal > 0.0, nx.to_numpy_array(net.graph) == 1.0)


@settings(max_examples=20)
@given(graph=graphs())
def test_optimized_is_never_slower_than_metropolis(graph: nx.Graph) -> None:
    net = topologies.from_graph(graph)
    topologies.check_mixing_matrix(net.mixing_matrix("optimized"), net.graph)
    assert net.contraction("optimized") <= net.contraction() + 2e-6


@FEW
@given(graph=graphs(), steps=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_no_start_contracts_by_less_than_predicted(graph: nx.Graph, steps: int, seed: int) -> None:
    net = topologies.from_graph(graph)
    values = np.random.default_rng(seed).normal(size=len(net))
    mixed = net.mixing_matrix(steps=steps) @ values
    np.testing.assert_allclose(mixed.mean(), values.mean(), atol=1e-12)
    before = np.linalg.norm(values - values.mean())
    assert np.linalg.norm(mixed - mixed.mean()) <= net.contraction(steps=steps) * before + 1e-12


@FEW
@given(graph=graphs())
def test_gap_is_the_norm_of_what_is_left(graph: nx.Graph) -> None:
    matrix = topologies.from_graph(graph).mixing_matrix()
    left = np.linalg.norm(matrix - 1.0 / len(matrix), ord=2)
    assert abs(slowest_factor(matrix) - left) < 1e-9


@FEW
@given(graph=graphs(), decay=st.floats(0.0, 0.99))
def test_effective_neighbors_are_from_one_to_all(graph: nx.Graph, decay: float) -> None:
    net = topologies.from_graph(graph)
    assert 1.0 - 1e-9 <= net.effective_neighbors(decay=decay) <= len(net) + 1e-9
