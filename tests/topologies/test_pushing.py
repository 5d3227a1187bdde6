"""Push-sum finds the plain mean where averaging alone finds another one."""

from itertools import repeat

import numpy as np
import pytest

import topologies


def test_a_round_worked_by_hand() -> None:
    # Node 0 gives half of itself to node 1, which keeps all.
    shares = np.array([[0.5, 0.5], [0.0, 1.0]])
    # Sums 4 and 8 become 2 and 10, weights 1/2 and 3/2.
    found = topologies.push_sum(np.array([4.0, 8.0]), [shares])
    np.testing.assert_allclose(found, [4.0, 10 / 1.5])


@pytest.mark.parametrize("sparse", [False, True])
def test_the_mean_is_found_although_degrees_differ(sparse: bool) -> None:
    net = topologies.create("star", nodes=6)
    values = np.random.default_rng(0).normal(size=(6, 3))
    shares = net.mixing_matrix("uniform", sparse=sparse)
    found = topologies.push_sum(values, repeat(shares, 200))
    np.testing.assert_allclose(found, np.tile(values.mean(axis=0), (6, 1)), atol=1e-9)
    averaged = net.mixing_matrix("uniform", steps=200) @ values
    assert np.abs(averaged - values.mean(axis=0)).max() > 0.1


def test_each_new_matrix_of_shares_is_looked_at() -> None:
    halves, wrong = np.full((2, 2), 0.5), np.array([[0.5, 0.5], [0.5, 0.4]])
    with pytest.raises(topologies.TopologyError, match=r"round 3: matrix: row 1 sums to 0\.9"):
        topologies.push_sum(np.zeros(2), [halves, halves, np.eye(2), wrong])


@pytest.mark.parametrize(
    ("values", "shares", "complaint"),
    [
        (np.zeros((2, 2, 2)), np.eye(2), r"values of shape \(2, 2, 2\)"),
        (np.zeros(0), np.eye(1), r"values of shape \(0,\)"),
        (np.zeros(3), np.eye(2), r"shares of shape \(2, 2\): there are 3 values"),
        (np.zeros(2), np.full((2, 2), 0.4), "row 0 sums to 0.8"),
        (np.zeros(2), np.array([[0.0, 1.0], [0.0, 1.0]]), "node 0 is given nothing"),
    ],
)
def test_impossible_shares_are_refused(
    values: np.ndarray, shares: np.ndarray, complaint: str
) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.push_sum(values, [shares])
