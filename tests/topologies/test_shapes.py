"""Each topology by itself: golden edges, and gaps against their closed forms."""

import os
import subprocess
import sys
from collections.abc import Callable
from math import cos, pi
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import topologies
from topologies import k_regular

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("line", [(0, 1), (1, 2), (2, 3)]),
        ("ring", [(0, 1), (0, 3), (1, 2), (2, 3)]),
        ("complete", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
        ("star", [(0, 1), (0, 2), (0, 3)]),
    ],
)
def test_four_nodes(name: str, edges: list[tuple[int, int]]) -> None:
    assert list(topologies.create(name, nodes=4).graph.edges) == edges


def test_mixing_matrix_of_a_line() -> None:
    # Degrees 1, 2, 1: both edges 1 / (1 + 2), and the rest to 1 stays.
    expected = np.array([[2, 1, 0], [1, 1, 1], [0, 1, 2]]) / 3
    np.testing.assert_allclose(topologies.create("line", nodes=3).mixing_matrix(), expected)


@pytest.mark.parametrize(
    ("name", "least", "gap"),
    [
        ("ring", 3, lambda n: 2 * (1 - cos(2 * pi / n)) / 3),
        ("line", 3, lambda n: 2 * (1 - cos(pi / n)) / 3),
        ("star", 3, lambda n: 1 / n),
        ("complete", 1, lambda n: 1.0),  # noqa: ARG005 - the same for every n
    ],
)
def test_gap_is_the_closed_form(name: str, least: int, gap: Callable[[int], float]) -> None:
    for nodes in range(least, 30):
        measured = topologies.create(name, nodes=nodes).spectral_gap()
        assert measured == pytest.approx(gap(nodes), abs=1e-12)


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
"""


@pytest.mark.slow
def test_k_regular_does_not_depend_on_the_hash_seed() -> None:
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
