"""Each mixing matrix by itself, against values worked out by hand and closed forms."""

from math import cos, pi

import networkx as nx
import numpy as np
import pytest

import topologies
from tests.topologies.cases import NAMES, exists, make
from topologies.mixing import DOUBLY_STOCHASTIC, MIXING_MATRICES

# Node 1 has three neighbors, 0 one, 2 and 3 two.
PAN = topologies.from_graph(nx.Graph([(0, 1), (1, 2), (1, 3), (2, 3)]))


def test_lazy_keeps_half() -> None:
    expected = (np.eye(4) + PAN.mixing_matrix()) / 2
    np.testing.assert_allclose(PAN.mixing_matrix("lazy"), expected)


def test_lazy_does_not_oscillate() -> None:
    net = topologies.from_graph(nx.complete_bipartite_graph(3, 3))
    assert net.spectral_gap("metropolis") == pytest.approx(0.5)  # lambda_n = -1/2
    assert net.spectral_gap("lazy") == pytest.approx(0.375)  # lambda_2 = (1 + 1/4) / 2


def test_max_degree_weighs_edges_alike() -> None:
    expected = np.array([[3, 1, 0, 0], [1, 1, 1, 1], [0, 1, 2, 1], [0, 1, 1, 2]]) / 4
    np.testing.assert_allclose(PAN.mixing_matrix("max-degree"), expected)


def test_uniform_weighs_rows_alike() -> None:
    thirds = [0, 1 / 3, 1 / 3, 1 / 3]
    expected = np.array([[1 / 2, 1 / 2, 0, 0], [1 / 4] * 4, thirds, thirds])
    np.testing.assert_allclose(PAN.mixing_matrix("uniform"), expected)


def test_uniform_agrees_on_a_mean_weighted_by_degrees() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    agreed = PAN.mixing_matrix("uniform", steps=200) @ values
    counts = np.array([2, 4, 3, 3])  # of rows that each one averages
    np.testing.assert_allclose(agreed, values @ counts / counts.sum())


@pytest.mark.parametrize("kind", sorted(MIXING_MATRICES))
@pytest.mark.parametrize("name", NAMES)
def test_all_are_what_peers_can_average_with(name: str, kind: str) -> None:
    net = make(name, 16)
    keeps_mean = kind in DOUBLY_STOCHASTIC
    for sparse in (False, True):
        matrix = net.mixing_matrix(kind, sparse=sparse)
        topologies.check_mixing_matrix(
            matrix, net.graph, symmetric=keeps_mean, doubly_stochastic=keeps_mean
        )
    assert net.spectral_gap(kind) > 0.0


@pytest.mark.parametrize(
    ("name", "nodes", "factor"),
    [
        ("line", 2, 0.0),
        ("line", 7, cos(pi / 7)),  # Boyd et al. 2009, "Fastest mixing Markov chain on a path"
        ("star", 5, 1 - 1 / 4),  # every edge 1/4, by symmetry
        ("complete", 6, 0.0),
        # By symmetry all edges weigh alike: 2 / (lambda_2 + lambda_max) of the Laplacian.
        ("ring", 8, (4 - (2 - 2 * cos(pi / 4))) / (4 + (2 - 2 * cos(pi / 4)))),
        ("hypercube", 8, (6 - 2) / (6 + 2)),
    ],
)
def test_optimized_is_the_known_optimum(name: str, nodes: int, factor: float) -> None:
    net = topologies.create(name, nodes=nodes)
    found = net.contraction("optimized")
    assert factor - 1e-9 <= found <= factor + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_optimized_is_at_least_as_fast_as_the_others(name: str) -> None:
    net = make(name, 9 if exists(name, 9) else 8)
    best = net.contraction("optimized")
    for kind in sorted(DOUBLY_STOCHASTIC):
        assert best <= net.contraction(kind) + 1e-6


def test_optimized_lets_the_bridge_carry_more() -> None:
    net = topologies.create("dumbbell", nodes=10)
    assert net.mixing_matrix("optimized")[0, 5] > 2 * net.mixing_matrix()[0, 5]
    assert net.spectral_gap("optimized") > 1.5 * net.spectral_gap()


def test_optimized_of_a_lone_peer() -> None:
    assert topologies.create("line", nodes=1).mixing_matrix("optimized").tolist() == [[1.0]]


def test_optimized_refuses_large_graphs() -> None:
    net = topologies.create("ring", nodes=1_001)
    with pytest.raises(topologies.TopologyError, match=r"1001 edges, of at most 1000.*metropolis"):
        net.mixing_matrix("optimized")
