"""What is predicted of a mixing matrix, against closed forms, simulation and dense algebra."""

from math import cos, pi

import numpy as np
import pytest
from scipy.sparse import csr_array, eye_array

import topologies
from tests.topologies.cases import NAMES, make
from topologies.spectrum import effective_neighbors, rounds_to, slowest_factor


@pytest.mark.parametrize("kind", ["metropolis", "uniform"])
@pytest.mark.parametrize("name", NAMES)
def test_sparse_gap_is_the_dense_one(name: str, kind: str) -> None:
    net = make(name, 64)
    assert net.spectral_gap(kind, sparse=True) == pytest.approx(net.spectral_gap(kind), abs=1e-9)


def test_small_sparse_matrices_work_too() -> None:
    for nodes in (1, 2, 3, 4):
        net = topologies.create("complete", nodes=nodes)
        assert net.spectral_gap(sparse=True) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.slow
def test_sparse_gap_of_a_long_ring() -> None:
    net = topologies.create("ring", nodes=5_000)
    assert net.spectral_gap(sparse=True) == pytest.approx(
        2 * (1 - cos(2 * pi / 5_000)) / 3, rel=1e-4
    )


def test_gap_of_an_oscillating_ring_is_none() -> None:
    # Without a share of its own, everyone swaps rows for ever: lambda_n = -1.
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert slowest_factor(swap) == pytest.approx(1.0)
    with pytest.raises(topologies.TopologyError, match=r"factor=1\.0: peers never agree"):
        rounds_to(1e-3, 1.0)


def test_sparse_gap_of_a_line_of_plain_means() -> None:
    # Symmetric only after scaling: the ends count their rows as halves, all others as thirds.
    net = topologies.create("line", nodes=400)
    assert net.spectral_gap("uniform", sparse=True) == pytest.approx(
        net.spectral_gap("uniform"), rel=1e-4
    )


@pytest.mark.slow
def test_sparse_gap_counts_oscillation() -> None:
    # Half to each side and nothing kept, on an odd ring: lambda_n = -cos(pi / n) is the largest.
    turn = eye_array(2001, format="csr")[np.roll(np.arange(2001), 1)]
    matrix = csr_array((turn + turn.T) / 2)
    assert 1.0 - slowest_factor(matrix) == pytest.approx(1.0 - cos(pi / 2001), rel=1e-3)


def test_directed_rounds_have_a_gap_too() -> None:
    found = topologies.create_dynamic("epidemic", nodes=100, degree=3).at(0)
    dense, sparse = found.mixing_matrix(), found.mixing_matrix(sparse=True)
    assert slowest_factor(sparse) == pytest.approx(slowest_factor(dense))


@pytest.mark.slow
def test_what_is_too_hard_for_sparse_methods_says_so() -> None:
    turn = eye_array(2001, format="csr")[np.roll(np.arange(2001), 1)]
    with pytest.raises(topologies.TopologyError, match="is not symmetric, and too large"):
        slowest_factor(csr_array(0.01 * eye_array(2001) + 0.99 * turn))


@pytest.mark.parametrize(
    ("ratio", "factor", "steps", "rounds"),
    [
        (1e-3, 0.5, 1, 10),  # 2^-10 is just below a thousandth
        (0.125, 0.5, 1, 3),  # exactly
        (1e-3, 0.5, 4, 3),
        (1e-3, 0.1, 1, 3),
        (1e-3, 0.0, 1, 1),
        (0.9, 0.5, 1, 1),
    ],
)
def test_rounds_until_agreement(ratio: float, factor: float, steps: int, rounds: int) -> None:
    assert rounds_to(ratio, factor, steps=steps) == rounds


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"ratio": 0.0, "factor": 0.5}, "ratio=0.0"),
        ({"ratio": 1.0, "factor": 0.5}, "ratio=1.0"),
        ({"ratio": 0.5, "factor": 1.1}, "factor=1.1"),
        ({"ratio": 0.5, "factor": 0.5, "steps": 0}, "steps=0"),
    ],
)
def test_impossible_predictions_are_refused(arguments: dict[str, float], complaint: str) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        rounds_to(**arguments)  # type: ignore[arg-type]  # steps is a whole number in all cases


def test_peers_agree_in_the_rounds_that_were_predicted() -> None:
    net = topologies.create("ring", nodes=12)
    slowest = np.linalg.eigh(net.mixing_matrix())[1][:, -2]
    rounds = net.rounds_to(1e-3)
    left = [
        np.linalg.norm(net.mixing_matrix(steps=steps) @ slowest) for steps in (rounds - 1, rounds)
    ]
    assert left[0] > 1e-3 >= left[1]
    assert net.rounds_to(1e-3, steps=4) == -(-rounds // 4)


def test_nobody_to_nobody_is_one_and_everyone_to_everyone_is_all() -> None:
    for decay in (0.0, 0.5, 0.99):
        assert effective_neighbors(np.eye(7), decay=decay) == pytest.approx(1.0)
        complete = topologies.create("complete", nodes=7)
        assert complete.effective_neighbors(decay=decay) == pytest.approx(7.0)


def test_without_memory_it_is_the_size_of_a_neighborhood() -> None:
    # Each row has three entries of 1/3: the mean of three.
    assert topologies.create("ring", nodes=9).effective_neighbors(decay=0.0) == pytest.approx(3.0)


def test_a_longer_ring_is_worth_no_less() -> None:
    worth = [
        topologies.create("ring", nodes=nodes).effective_neighbors() for nodes in (32, 64, 256)
    ]
    assert worth == pytest.approx([worth[0]] * 3, rel=1e-3)
    assert 5.0 < worth[0] < 8.0


def test_it_is_the_variance_of_the_walk_that_defines_it() -> None:
    matrix = topologies.create("star", nodes=5).mixing_matrix()
    covariance = np.zeros((5, 5))
    for _ in range(400):
        covariance = matrix @ (0.9 * covariance + np.eye(5)) @ matrix.T
    expected = (1 / (1 - 0.9)) / (np.trace(covariance) / 5)
    assert effective_neighbors(matrix) == pytest.approx(expected)


def test_it_is_known_of_matrices_that_are_not_symmetric() -> None:
    matrix = topologies.create("star", nodes=5).mixing_matrix("uniform")
    covariance = np.zeros((5, 5))
    for _ in range(400):
        covariance = matrix @ (0.9 * covariance + np.eye(5)) @ matrix.T
    expected = (1 / (1 - 0.9)) / (np.trace(covariance) / 5)
    # Consensus has a weighted mean here, whose variance the sum over other directions holds too.
    assert effective_neighbors(matrix) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ring", "metropolis"), ("watts-strogatz", "metropolis"), ("star", "uniform")],
)
@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_sparse_matrices_of_some_hundred_nodes_give_the_exact_number(
    name: str, kind: str, decay: float
) -> None:
    for nodes in (50, 200):
        net = topologies.create(name, nodes=nodes)
        exact = net.effective_neighbors(kind, decay=decay)
        found = net.effective_neighbors(kind, decay=decay, sparse=True)
        assert found == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_large_matrices_are_estimated_well(decay: float) -> None:
    # Eigenvalues of a torus are sums of those of its two rings.
    one, other = (np.cos(2 * pi * np.arange(size) / size) for size in (30, 40))
    squares = np.square((1 + 2 * one[:, None] + 2 * other) / 5)
    exact = 1 / (1 - decay) / np.mean(squares / (1 - decay * squares))
    net = topologies.create("torus", nodes=1_200, rows=30)
    found = net.effective_neighbors(decay=decay, sparse=True)
    assert found == pytest.approx(exact, rel=0.015)
    assert found != pytest.approx(exact, rel=1e-9)


@pytest.mark.slow
def test_a_few_slow_directions_of_a_large_matrix_are_not_left_to_chance() -> None:
    # Of two cliques with one edge between them, two directions hold nearly all of the variance:
    # random probes alone miss it by a tenth.
    net = topologies.create("dumbbell", nodes=1_002)
    squares = np.square(net.mixing_matrix())
    found = net.effective_neighbors(decay=0.0, sparse=True)
    assert found == pytest.approx(1_002 / squares.sum(), rel=1e-3)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(topologies.TopologyError, match="decay="):
        effective_neighbors(np.eye(2), decay=decay)
