"""Topologies that change: what holds for all of them, and each by itself."""

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import topologies
from topologies.dynamic.registry import DYNAMIC_TOPOLOGIES
from topologies.registry import CHANGING

NAMES = sorted(set(DYNAMIC_TOPOLOGIES) - {"trace"})  # which has tests of its own
FEW = settings(max_examples=25)


def test_names_are_the_table() -> None:
    assert topologies.dynamic_names() == tuple(sorted(DYNAMIC_TOPOLOGIES))


@pytest.mark.slow
@FEW
@given(
    name=st.sampled_from(NAMES),
    nodes=st.integers(3, 24),
    seed=st.integers(0, 2**32),
    number=st.integers(0, 30),
)
def test_every_round_can_be_averaged_and_pushed(
    name: str, nodes: int, seed: int, number: int
) -> None:
    found = topologies.create_dynamic(name, nodes=nodes, seed=seed).at(number)
    assert (found.number, len(found)) == (number, nodes)
    for node, others in enumerate(found.out_neighbors):
        assert list(others) == sorted(set(others) - {node})
        assert all(0 <= other < nodes for other in others)
    graph = found.graph()
    assert sorted(graph) == list(range(nodes))
    mutual = found.is_mutual()
    for matrix in (found.mixing_matrix(), found.mixing_matrix(sparse=True)):
        topologies.check_mixing_matrix(
            matrix, graph.reverse(), symmetric=mutual, doubly_stochastic=mutual
        )
    topologies.check_mixing_matrix(found.shares(), graph, symmetric=False, doubly_stochastic=False)
    assert np.array_equal(found.shares(sparse=True).toarray(), found.shares())


@pytest.mark.slow
@FEW
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**32),
    numbers=st.lists(st.integers(0, 20), min_size=2, max_size=5),
)
def test_a_round_is_the_same_whenever_it_is_asked_for(
    name: str, seed: int, numbers: list[int]
) -> None:
    net = topologies.create_dynamic(name, nodes=9, seed=seed)
    for number in numbers:
        fresh = topologies.create_dynamic(name, nodes=9, seed=seed)
        assert net.at(number).out_neighbors == fresh.at(number).out_neighbors


@pytest.mark.parametrize("name", NAMES)
def test_peers_agree_in_a_few_rounds(name: str) -> None:
    net = topologies.create_dynamic(name, nodes=16, seed=1)
    assert np.array_equal(net.product(0), np.eye(len(net)))
    assert net.contraction(30, first=3) < 1e-2


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_contraction_bounds_the_distance_from_consensus(name: str, rounds: int) -> None:
    net = topologies.create_dynamic(name, nodes=12, seed=2)
    values = np.random.default_rng(0).normal(size=(12, 4))
    mixed = values
    for number in range(5, 5 + rounds):
        mixed = net.at(number).mixing_matrix() @ mixed
    np.testing.assert_allclose(net.product(rounds, first=5) @ values, mixed)
    before = np.linalg.norm(values - values.mean(axis=0))
    after = np.linalg.norm(mixed - mixed.mean(axis=0))
    assert after <= net.contraction(rounds, first=5) * before + 1e-12


def left_on_average(name: str, values: NDArray[np.float64], rounds: int) -> float:
    """Return which share of the squared distance from consensus rounds leave, over 400 seeds."""
    left = []
    for seed in range(400):
        mixed = topologies.create_dynamic(name, nodes=len(values), seed=seed).product(rounds)
        mixed = mixed @ values
        left.append(np.square(mixed - mixed.mean(axis=0)).sum())
    return float(np.mean(left) / np.square(values - values.mean(axis=0)).sum())


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_random_matchings_contract_in_expectation_as_boyd_et_al_say(rounds: int) -> None:
    # With W = (I + P) / 2 a projection, the second largest eigenvalue of E[W'W] = E[W] is
    # 1/2 - 1/(2(n - 1)): Boyd et al. 2006, "Randomized gossip algorithms", section 2.
    values = np.random.default_rng(0).normal(size=(12, 4))
    expected = (0.5 - 0.5 / 11.0) ** rounds
    assert left_on_average("random-matchings", values, rounds) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("rounds", [2, 3, 4])
def test_epidemic_rounds_contract_in_expectation_by_one_factor_each(rounds: int) -> None:
    # Rounds are drawn anew and treat all nodes alike, so that E[W'(I - 11'/n)W] is a multiple of
    # I - 11'/n; that multiple is what a round leaves of any values.
    values = np.random.default_rng(0).normal(size=(12, 4))
    once = left_on_average("epidemic", values, 1)
    assert once < 0.5
    assert left_on_average("epidemic", values, rounds) == pytest.approx(once**rounds, rel=0.2)


@pytest.mark.parametrize("name", ["epidemic", "peer-sampling", "random-matchings"])
def test_random_rounds_differ_by_number_and_seed(name: str) -> None:
    rounds = {
        topologies.create_dynamic(name, nodes=16, seed=seed).at(number).out_neighbors
        for seed in range(3)
        for number in range(3)
    }
    assert len(rounds) == 9


def test_push_sum_finds_the_mean_in_directed_rounds() -> None:
    net = topologies.create_dynamic("epidemic", nodes=20, degree=2)
    values = np.arange(20.0)
    found = topologies.push_sum(values, (net.at(number).shares() for number in range(60)))
    np.testing.assert_allclose(found, values.mean(), atol=1e-6)


@pytest.mark.parametrize("power", [1, 2, 3, 4, 5])
def test_one_peer_exponential_is_exact_after_log2_rounds(power: int) -> None:
    net = topologies.create_dynamic("one-peer-exponential", nodes=2**power)
    assert net.period == power
    for first in (0, 1):
        product = net.product(power, first=first)
        np.testing.assert_allclose(product, np.full_like(product, 1 / 2**power), atol=1e-15)
    if power > 1:
        assert net.contraction(power - 1) > 0.5


def test_one_peer_exponential_doubles_its_step() -> None:
    net = topologies.create_dynamic("one-peer-exponential", nodes=6)
    receivers = [net.at(number).out_neighbors[3] for number in range(4)]
    assert receivers == [(4,), (5,), (1,), (4,)]  # 1, 2, 4 further, and again
    assert net.at(0).in_neighbors()[3] == (2,)
    topologies.check_mixing_matrix(net.at(1).mixing_matrix(), symmetric=False)


@pytest.mark.parametrize("nodes", [2, 7, 8])
def test_matchings_pair_all_but_an_odd_one(nodes: int) -> None:
    net = topologies.create_dynamic("random-matchings", nodes=nodes)
    for number in range(5):
        found = net.at(number)
        assert found.is_mutual()
        assert sorted(map(len, found.out_neighbors)) == [0] * (nodes % 2) + [1] * (nodes // 2 * 2)


@pytest.mark.parametrize("name", ["epidemic", "peer-sampling"])
def test_everyone_sends_to_as_many(name: str) -> None:
    net = topologies.create_dynamic(name, nodes=20, degree=3)
    for number in (0, 7, 40):
        assert set(map(len, net.at(number).out_neighbors)) == {3}


def test_views_change_and_stay_connected() -> None:
    net = topologies.create_dynamic("peer-sampling", nodes=40, degree=4, view=4)
    first, last = net.at(0), net.at(40)
    assert nx.is_weakly_connected(first.graph())
    assert nx.is_weakly_connected(last.graph())
    kept = sum(
        len(set(before) & set(after))
        for before, after in zip(first.out_neighbors, last.out_neighbors, strict=True)
    )
    assert kept < 40  # of 160; unrelated views share 16 on average
    # Nobody becomes a hub, and nobody is forgotten.
    assert 1 <= min(map(len, last.in_neighbors())) <= max(map(len, last.in_neighbors())) <= 10


def test_a_trace_repeats() -> None:
    net = topologies.from_trace([nx.Graph([(0, 1), (2, 3)]), nx.Graph([(1, 2), (0, 3)])])
    assert (net.name, len(net), net.period) == ("trace", 4, 2)
    assert net.at(0).out_neighbors == ((1,), (0,), (3,), (2,))
    assert net.at(5).out_neighbors == net.at(1).out_neighbors == ((3,), (2,), (1,), (0,))
    assert net.contraction(2) == pytest.approx(0.0, abs=1e-15)


def test_weights_of_mutual_rounds_are_those_of_metropolis() -> None:
    path = nx.path_graph(4)
    net = topologies.from_trace([path])
    np.testing.assert_array_equal(
        net.at(3).mixing_matrix(), topologies.from_graph(path).mixing_matrix()
    )


def test_directed_traces_average_what_arrives() -> None:
    net = topologies.from_trace([nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2)])])
    assert not net.at(0).is_mutual()
    expected = np.array([[1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(net.at(0).mixing_matrix(), expected)
    given = np.array([[1 / 3, 1 / 3, 1 / 3], [0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2]])
    np.testing.assert_allclose(net.at(0).shares(), given)


@pytest.mark.parametrize(
    ("graphs", "complaint"),
    [
        ([], "there are none"),
        ([nx.Graph()], r"graphs\[0\]: use simple graphs"),
        ([nx.path_graph(3), nx.path_graph(4)], r"graphs\[1\]: use simple graphs on the same"),
        ([nx.MultiGraph([(0, 1)])], r"graphs\[0\]: use simple graphs"),
        ([nx.Graph([(0, 1), (1, 1)])], r"graphs\[0\] has self-loops"),
        ([nx.Graph([(1, 2)])], "the same nodes 0 to n - 1"),
        ([nx.empty_graph(2)], "all together leave 2 parts"),
        ([nx.DiGraph([(0, 1)])], "all together leave 2 parts"),
    ],
)
def test_unusable_traces_are_refused(graphs: list[nx.Graph], complaint: str) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.from_trace(graphs)


def test_a_trace_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text('{"rounds": [[[0, 1]], [], [[2, 1]]]}', encoding="utf-8")
    net = topologies.create_dynamic("trace", nodes=3, path=str(path))
    assert [net.at(number).out_neighbors for number in range(3)] == [
        ((1,), (0,), ()),
        ((), (), ()),
        ((), (2,), (1,)),
    ]
    path.write_text('{"directed": true, "rounds": [[[0, 1], [1, 0]]]}', encoding="utf-8")
    assert topologies.create_dynamic("trace", nodes=2, path=str(path)).at(0).is_mutual()


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([], "has no rounds; write"),
        ({"rounds": 3}, "has no rounds; write"),
        ({"rounds": [3]}, "write"),
        ({"rounds": [[[0]]]}, "write"),
        ({"rounds": [[[0, 1, 2]]]}, "write"),
        ({"rounds": [[[0, 1.5]]]}, "node=1.5"),
        ({"rounds": [[[0, 3]]]}, "node=3: use 0 to 2"),
        ({"rounds": [[[0, 1]]]}, "all together leave 2 parts"),
        ({"rounds": []}, "there are none"),
    ],
)
def test_unusable_trace_files_are_refused(tmp_path: Path, found: Any, complaint: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(topologies.TopologyError, match=f"trace.json.*{complaint}"):
        topologies.create_dynamic("trace", nodes=3, path=str(path))


def test_a_missing_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(topologies.TopologyError, match="No such file"):
        topologies.create_dynamic("trace", nodes=3, path=str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("ring", {"nodes": 4}, "'ring': unknown topology; use one of .*: create knows it"),
        ("epidemic", {"nodes": 4, "degree": 4}, "degree=4: use at most 3"),
        ("epidemic", {"nodes": 1}, "nodes=1: use a whole number of at least 2"),
        ("peer-sampling", {"nodes": 4, "view": 4}, "view=4: use at most 3"),
        ("peer-sampling", {"nodes": 9, "degree": 3, "view": 2}, "view=2: .* at least 3"),
        ("random-matchings", {"nodes": 4, "degree": 1}, r"unknown \['degree'\]"),
        ("one-peer-exponential", {"nodes": 4, "seed": -1}, "seed=-1"),
        ("trace", {"nodes": 4}, r"missing \['path'\]"),
    ],
)
def test_wrong_parameters_say_what_to_do(
    name: str, parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.create_dynamic(name, **parameters)


@pytest.mark.parametrize("number", [-1, 1.5, True])
def test_rounds_are_counted_from_zero(number: Any) -> None:
    net = topologies.create_dynamic("epidemic", nodes=4)
    with pytest.raises(topologies.TopologyError, match="round="):
        net.at(number)


def test_names_that_change_are_known_where_they_are_not_made() -> None:
    assert frozenset(topologies.dynamic_names()) == CHANGING
    with pytest.raises(topologies.TopologyError, match="create_dynamic knows it"):
        topologies.create("epidemic", nodes=4)


def test_no_round_contracts_nothing_that_could_be_told() -> None:
    net = topologies.create_dynamic("epidemic", nodes=4)
    with pytest.raises(topologies.TopologyError, match=r"rounds=0: .*at least 1"):
        net.contraction(0)
