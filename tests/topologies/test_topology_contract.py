"""What holds for every topology in the table, of whatever size."""

from typing import Any

import networkx as nx
import numpy as np
import pytest

import topologies
from tests.topologies.cases import NAMES, NODES_MIN, PARAMETERS, exists, make
from topologies.registry import TOPOLOGIES

SIZES = [1, 2, 4, 5, 16, 40]


@pytest.fixture(
    params=[(name, n) for name in NAMES for n in SIZES if exists(name, n)],
    ids=lambda it: f"{it[0]}-{it[1]}",
)
def net(request: pytest.FixtureRequest) -> topologies.Topology:
    return make(*request.param)


def test_names_are_the_table() -> None:
    assert topologies.names() == tuple(sorted(TOPOLOGIES))
    assert set(NODES_MIN) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_too_few_nodes_are_refused(name: str) -> None:
    make(name, NODES_MIN[name])
    with pytest.raises(topologies.TopologyError, match=r"at (least|most) "):
        make(name, NODES_MIN[name] - 1)


def test_graph_is_simple_connected_and_numbered(net: topologies.Topology) -> None:
    assert type(net.graph) is nx.Graph
    assert list(net.graph) == list(range(len(net)))
    assert nx.is_connected(net.graph)
    assert nx.number_of_selfloops(net.graph) == 0


def test_same_arguments_make_the_same_graph(net: topologies.Topology) -> None:
    assert list(make(net.name, len(net)).graph.edges) == list(net.graph.edges)


def test_neighbors_are_ascending_and_mutual(net: topologies.Topology) -> None:
    for node in net.graph:
        neighbors = net.neighbors(node)
        assert neighbors == sorted(set(neighbors))
        assert all(node in net.neighbors(other) for other in neighbors)


def test_mixing_matrix_is_symmetric_and_doubly_stochastic(net: topologies.Topology) -> None:
    weights = net.mixing_matrix()
    assert weights.shape == (len(net), len(net))
    assert weights.dtype == np.float64
    assert np.array_equal(weights, weights.T)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-14)
    assert (np.diagonal(weights) > 0.0).all()
    off_diagonal = weights - np.diag(np.diagonal(weights))
    assert np.array_equal(off_diagonal > 0.0, nx.to_numpy_array(net.graph) == 1.0)


def test_mixing_matrix_is_the_formula(net: topologies.Topology) -> None:
    weights, degree = net.mixing_matrix(), dict(net.graph.degree)
    for i, j in net.graph.edges:
        assert weights[i, j] == 1.0 / (1.0 + max(degree[i], degree[j]))


def test_sparse_matrix_is_the_dense_one(net: topologies.Topology) -> None:
    sparse = net.mixing_matrix(sparse=True)
    assert sparse.format == "csr"
    assert np.array_equal(sparse.toarray(), net.mixing_matrix())
    twice = net.mixing_matrix(steps=2, sparse=True)
    np.testing.assert_allclose(twice.toarray(), net.mixing_matrix(steps=2), atol=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_steps_of_gossip_contract_by_lambda_to_the_steps(
    net: topologies.Topology, steps: int
) -> None:
    values = np.random.default_rng(0).normal(size=(len(net), 5))
    mean = values.mean(axis=0)
    mixed = values
    for _ in range(steps):
        mixed = net.mixing_matrix() @ mixed
    np.testing.assert_allclose(net.mixing_matrix(steps=steps) @ values, mixed, atol=1e-14)
    before, after = np.linalg.norm(values - mean), np.linalg.norm(mixed - mean)
    gap = net.spectral_gap()
    assert 0.0 < gap <= 1.0
    assert net.contraction(steps=steps) == pytest.approx((1.0 - gap) ** steps, abs=1e-15)
    assert after <= net.contraction(steps=steps) * before + 1e-12


def test_gap_is_that_of_the_slowest_direction(net: topologies.Topology) -> None:
    # The bound of the test above is attained: no larger gap would be true.
    eigenvalues, vectors = np.linalg.eigh(net.mixing_matrix())
    eigenvalues[-1] = 0.0  # the direction of consensus
    slowest = vectors[:, np.abs(eigenvalues).argmax()]
    factor = np.linalg.norm(net.mixing_matrix() @ slowest)
    if len(net) > 1:
        assert 1.0 - net.spectral_gap() == pytest.approx(factor, abs=1e-12)


def test_graph_cannot_be_changed(net: topologies.Topology) -> None:
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        net.graph.add_edge(0, len(net))


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("tor", {"nodes": 4}, "'tor'.*complete, dumbbell, .* torus"),
        ("ring", {"nodes": 4, "degree": 2}, r"unknown \['degree'\]"),
        ("k-regular", {"nodes": 4}, r"missing \['degree'\]"),
        ("ring", {"nodes": 4.0}, "nodes=4.0: use a whole number"),
        ("ring", {"nodes": "4"}, "nodes='4': use a whole number"),
        ("ring", {"nodes": True}, "nodes=True"),
        ("ring", {"nodes": 4, "seed": -1}, "seed=-1"),
        ("k-regular", {"nodes": 5, "degree": 3}, "degree=3.*use degree=2 or nodes=6"),
        ("k-regular", {"nodes": 4, "degree": 4}, "degree=4: use at most 3"),
        ("k-regular", {"nodes": 4, "degree": 0}, "degree=0"),
        ("k-regular", {"nodes": 5, "degree": 1}, "degree=1: leaves 5 nodes in pairs"),
        ("torus", {"nodes": 13}, "nodes=13: is prime.*use nodes=14"),
        ("grid", {"nodes": 12, "rows": 5}, r"rows=5: .*use one of \[2, 3, 4, 6\]"),
        ("grid", {"nodes": 12, "rows": 12}, r"rows=12: .*use one of \[2, 3, 4, 6\]"),
        ("torus", {"nodes": 12, "rows": 1}, "rows=1: use a whole number of at least 2"),
        ("hypercube", {"nodes": 12}, "nodes=12: .*use nodes=8 or nodes=16"),
        ("watts-strogatz", {"nodes": 4, "degree": 4}, "degree=4: use at most 3"),
        ("watts-strogatz", {"nodes": 9, "degree": 5}, "degree=5: .*use degree=4 or degree=6"),
        ("watts-strogatz", {"nodes": 9, "probability": 1.5}, "probability=1.5: .*from 0 to 1"),
        ("barabasi-albert", {"nodes": 4, "attachments": 4}, "attachments=4: use at most 3"),
        ("erdos-renyi", {"nodes": 9, "probability": "0.5"}, "probability='0.5': use a number"),
        ("erdos-renyi", {"nodes": 9, "probability": float("nan")}, "probability=nan"),
        ("erdos-renyi", {"nodes": 9, "probability": 10**400}, "use a number from 0 to 1"),
        ("erdos-renyi", {"nodes": 9, "probability": True}, "probability=True"),
        ("stochastic-block", {"nodes": 4, "blocks": 5}, "blocks=5: use at most 4"),
        ("stochastic-block", {"nodes": 8, "inside": 2}, "inside=2: use a number from 0 to 1"),
        ("stochastic-block", {"nodes": 8, "between": -1}, "between=-1: use a number"),
        ("geometric", {"nodes": 8, "radius": 2.0}, "radius=2.0: use a number from 0 to 1.41"),
        ("tree", {"nodes": 8, "branching": 0}, "branching=0"),
        ("hierarchical", {"nodes": 8, "group": 1}, "group=1: .* at least 2"),
    ],
)
def test_wrong_parameters_say_what_to_do(
    name: str, parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.create(name, **parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("erdos-renyi", {"probability": 0.0}, "nodes=9, probability=0 .*probability above 0.24"),
        ("geometric", {"radius": 0.0}, "nodes=9, radius=0 .*a radius above 0.28"),
        ("stochastic-block", {"between": 0.0}, "between=0 .*use another seed or larger"),
        ("watts-strogatz", {"degree": 2, "probability": 1.0}, None),
    ],
)
def test_disconnected_draws_are_repeated_or_refused(
    name: str, parameters: dict[str, Any], complaint: str | None
) -> None:
    if complaint is None:
        for seed in range(20):
            net = topologies.create(name, nodes=9, seed=seed, **parameters)
            assert nx.is_connected(net.graph)
        return
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.create(name, nodes=9, **parameters)


def test_blocks_of_one_peer_are_connected_by_default() -> None:
    for seed in range(20):
        make("stochastic-block", 4, seed)


def test_unknown_node_kind_and_steps_are_refused() -> None:
    net = topologies.create("ring", nodes=4)
    with pytest.raises(topologies.TopologyError, match="node=4: the nodes are 0 to 3"):
        net.neighbors(4)
    with pytest.raises(topologies.TopologyError, match=r"kind='fair'.*metropolis.*uniform"):
        net.mixing_matrix("fair")
    with pytest.raises(topologies.TopologyError, match="steps=0: use a whole number of at least 1"):
        net.mixing_matrix(steps=0)


def test_seeds_matter_to_random_graphs_alone() -> None:
    random = set()
    for name in NAMES:
        drawn = {tuple(make(name, 16, seed).graph.edges) for seed in range(3)}
        random |= {name} if len(drawn) > 1 else set()
    assert random == {
        "barabasi-albert",
        "erdos-renyi",
        "geometric",
        "k-regular",
        "stochastic-block",
        "watts-strogatz",
    }
    assert set(PARAMETERS) <= set(NAMES)
