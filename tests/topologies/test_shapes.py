"""Each topology by itself: golden edges, and gaps against their closed forms."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from math import cos, dist, log, log2, pi, sqrt
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import topologies
from topologies import k_regular

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "nodes", "edges"),
    [
        ("line", 4, [(0, 1), (1, 2), (2, 3)]),
        ("ring", 4, [(0, 1), (0, 3), (1, 2), (2, 3)]),
        ("complete", 4, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        ("star", 4, [(0, 1), (0, 2), (0, 3)]),
        ("grid", 6, [(0, 1), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (4, 5)]),
        # Two rows: up and down are the same neighbor.
        ("torus", 6, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (3, 5), (4, 5)]),
        ("hypercube", 4, [(0, 1), (0, 2), (1, 3), (2, 3)]),
        # Steps of 1, 2 and 4 to either side lead to everyone.
        ("exponential", 5, list(nx.complete_graph(5).edges)),
        ("dumbbell", 5, [(0, 1), (0, 2), (0, 3), (1, 2), (3, 4)]),
        ("tree", 6, [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5)]),
        # Groups 0 to 3 and 4 to 5, and the group of their first members.
        ("hierarchical", 6, [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (2, 3), (4, 5)]),
    ],
)
def test_few_nodes(name: str, nodes: int, edges: list[tuple[int, int]]) -> None:
    assert list(topologies.create(name, nodes=nodes).graph.edges) == edges


@pytest.mark.parametrize("name", ["torus", "exponential", "hypercube"])
def test_everyone_has_as_many_neighbors(name: str) -> None:
    net = topologies.create(name, nodes=64)
    expected = {"torus": 4, "exponential": 11, "hypercube": 6}[name]
    assert {degree for _, degree in net.graph.degree} == {expected}


def test_lattices_are_as_square_as_they_can_be() -> None:
    assert topologies.create("grid", nodes=24).graph.number_of_edges() == 4 * 5 + 3 * 6
    in_two_rows = topologies.create("grid", nodes=24, rows=2)
    assert in_two_rows.graph.number_of_edges() == 2 * 11 + 12


def test_levels_of_a_hierarchy_meet_at_the_top() -> None:
    net = topologies.create("hierarchical", nodes=64, group=4)
    assert net.graph.degree[0] == 3 + 3 + 3  # in its group, among 16 heads' four, among 4 heads
    assert net.graph.degree[5] == 3
    assert nx.diameter(net.graph) == 5  # up two levels, across, down two


def test_a_tree_has_the_branching_that_was_asked_for() -> None:
    net = topologies.create("tree", nodes=13, branching=3)
    assert sorted(degree for _, degree in net.graph.degree) == [1] * 9 + [3] + [4] * 3
    line = topologies.create("tree", nodes=5, branching=1)
    assert list(line.graph.edges) == list(topologies.create("line", nodes=5).graph.edges)


def test_blocks_know_each_other_better() -> None:
    net = topologies.create("stochastic-block", nodes=42, blocks=4, inside=1.0, between=0.05)
    block = nx.get_node_attributes(net.graph, "block")
    assert [list(block.values()).count(number) for number in range(4)] == [11, 11, 10, 10]
    inside = [edge for edge in net.graph.edges if block[edge[0]] == block[edge[1]]]
    assert len(inside) == 2 * 55 + 2 * 45
    assert 0 < net.graph.number_of_edges() - len(inside) < 100


def test_geometric_neighbors_are_those_within_the_radius() -> None:
    net = topologies.create("geometric", nodes=60, radius=0.3, seed=2)
    place = nx.get_node_attributes(net.graph, "position")
    near = {
        (one, other)
        for one in range(60)
        for other in range(one + 1, 60)
        if dist(place[one], place[other]) <= 0.3
    }
    assert set(net.graph.edges) == near


@pytest.mark.parametrize("radius", [0.5, 1.0, sqrt(2.0)])
def test_a_large_radius_reaches_across_squares(radius: float) -> None:
    net = topologies.create("geometric", nodes=20, radius=radius)
    place = nx.get_node_attributes(net.graph, "position")
    pairs = [(one, other) for one in range(20) for other in range(one + 1, 20)]
    assert list(net.graph.edges) == [
        pair for pair in pairs if dist(place[pair[0]], place[pair[1]]) <= radius
    ]


def test_small_worlds_keep_their_number_of_edges() -> None:
    net = topologies.create("watts-strogatz", nodes=30, degree=6, probability=0.3)
    assert net.graph.number_of_edges() == 90
    unchanged = topologies.create("watts-strogatz", nodes=30, degree=2, probability=0)
    assert list(unchanged.graph.edges) == list(topologies.create("ring", nodes=30).graph.edges)


def test_newcomers_attach_to_as_many_as_was_asked_for() -> None:
    net = topologies.create("barabasi-albert", nodes=50, attachments=3)
    assert net.graph.number_of_edges() == 3 + 3 * 46  # a star of four, and 46 newcomers
    assert min(degree for _, degree in net.graph.degree) >= 1
    assert max(degree for _, degree in net.graph.degree) > 10


def test_default_probabilities_are_twice_the_threshold() -> None:
    edges = [
        topologies.create("erdos-renyi", nodes=200, seed=seed).graph.number_of_edges()
        for seed in range(5)
    ]
    # 199 ln(200), 1,054 on average with a standard deviation of 32.
    assert all(abs(count - 199 * log(200)) < 150 for count in edges)


def test_mixing_matrix_of_a_line() -> None:
    # Degrees 1, 2, 1: both edges 1 / (1 + 2), and the rest to 1 stays.
    expected = np.array([[2, 1, 0], [1, 1, 1], [0, 1, 2]]) / 3
    np.testing.assert_allclose(topologies.create("line", nodes=3).mixing_matrix(), expected)


def of_circle(nodes: int) -> float:
    """Return the gap of the exponential graph from the cosines of its steps."""
    ahead = [2**power for power in range((nodes - 1).bit_length())]
    steps = {step % nodes for step in ahead} | {-step % nodes for step in ahead}
    others = [
        (1 + sum(cos(2 * pi * k * step / nodes) for step in steps)) / (1 + len(steps))
        for k in range(1, nodes)
    ]
    return 1 - max(map(abs, others))


def of_square_torus(nodes: int) -> float:
    side = sqrt(nodes)
    return min(2 * (1 - cos(2 * pi / side)), 5 - abs(1 + 4 * cos(pi * (side // 2) * 2 / side))) / 5


@pytest.mark.parametrize(
    ("name", "sizes", "gap"),
    [
        ("ring", range(3, 30), lambda n: 2 * (1 - cos(2 * pi / n)) / 3),
        ("line", range(3, 30), lambda n: 2 * (1 - cos(pi / n)) / 3),
        ("star", range(3, 30), lambda n: 1 / n),
        ("complete", range(1, 30), lambda n: 1.0),  # noqa: ARG005 - the same for every n
        ("hypercube", [2, 4, 8, 16, 32, 64], lambda n: 2 / (1 + log2(n))),
        ("torus", [9, 16, 25, 36, 49, 100], of_square_torus),
        ("exponential", range(2, 40), of_circle),
    ],
)
def test_gap_is_the_closed_form(
    name: str, sizes: Iterable[int], gap: Callable[[int], float]
) -> None:
    for nodes in sizes:
        measured = topologies.create(name, nodes=nodes).spectral_gap()
        assert measured == pytest.approx(gap(nodes), abs=1e-12)


def test_gap_of_a_torus_of_sixteen() -> None:
    assert topologies.create("torus", nodes=16).spectral_gap() == pytest.approx(0.4)


def test_gap_counts_oscillation() -> None:
    # Two sides of three, all of one side with all of the other: W = (I + A) / 4, and A has the
    # eigenvalues 3, 0 and -3. So lambda_2 = 1/4, but lambda_n = -1/2 decays more slowly.
    net = topologies.from_graph(nx.complete_bipartite_graph(3, 3))
    assert net.spectral_gap() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["line", "star", "complete"])
def test_a_pair_agrees_in_one_round(name: str) -> None:
    assert topologies.create(name, nodes=2).spectral_gap() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["line", "complete"])
def test_a_lone_peer_is_in_consensus(name: str) -> None:
    net = topologies.create(name, nodes=1)
    assert net.neighbors(0) == []
    assert net.mixing_matrix().tolist() == [[1.0]]
    assert net.spectral_gap() == 1.0


@pytest.mark.parametrize(
    ("nodes", "degree"),
    [(2, 1), (3, 2), (8, 3), (50, 2), (16, 4), (9, 6), (64, 60), (64, 62), (16, 15)],
)
def test_k_regular_has_one_degree(nodes: int, degree: int) -> None:
    # Degree 2 is hardly ever connected by chance, and near-complete graphs hardly ever drawn.
    net = topologies.create("k-regular", nodes=nodes, degree=degree)
    assert {count for _, count in net.graph.degree} == {degree}


def test_k_regular_depends_on_its_seed() -> None:
    drawn = {
        tuple(topologies.create("k-regular", nodes=10, degree=4, seed=seed).graph.edges)
        for seed in range(5)
    }
    assert len(drawn) == 5


PRINT_EDGES = """
import topologies
for degree in (2, 3, 6):
    print(list(topologies.create("k-regular", nodes=8, degree=degree, seed=1).graph.edges))
for name in topologies.names():
    if name not in ("file", "k-regular"):
        print(name, list(topologies.create(name, nodes=16, seed=1).graph.edges(data=True)))
for name in topologies.dynamic_names():
    if name != "trace":
        net = topologies.create_dynamic(name, nodes=9, seed=1)
        print(name, [net.at(number).out_neighbors for number in (0, 1, 5)])
print(topologies.recommend(16, 4, 0.1).chosen)
"""


@pytest.mark.slow
def test_nothing_depends_on_the_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PRINT_EDGES],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert len(outputs) == 1


def test_k_regular_of_seed_one_is_pinned() -> None:
    # Changes only if networkx draws otherwise: every experiment on such graphs changes then too.
    net = topologies.create("k-regular", nodes=8, degree=3, seed=1)
    expected = {0: [1, 2, 5], 1: [0, 2, 7], 2: [0, 1, 7], 3: [4, 5, 6], 4: [3, 5, 6]}
    assert {node: net.neighbors(node) for node in expected} == expected


def test_k_regular_gives_up_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    in_two_parts = nx.disjoint_union(nx.complete_graph(4), nx.complete_graph(4))
    monkeypatch.setattr(k_regular.nx, "random_regular_graph", lambda *_: in_two_parts)
    with pytest.raises(topologies.TopologyError, match="100 attempts; use another seed"):
        topologies.create("k-regular", nodes=8, degree=3)
