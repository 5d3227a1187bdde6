"""Which matrices are no mixing matrices, and which entry says so."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

import topologies

HALF = np.full((2, 2), 0.5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("matrix", "options", "complaint"),
    [
        ([[0.5, 0.5]], {}, r"shape \(1, 2\): use one of shape \(n, n\)"),
        ([[1.2, -0.2], [-0.2, 1.2]], {}, r"entry \(0, 1\) is -0.2, which is negative"),
        ([[0.5, 0.4], [0.5, 0.5]], {}, "row 0 sums to 0.9; make it sum to 1"),
        ([[0.5, 0.5], [1.0, 0.0]], {}, "column 0 sums to 1.5"),
        (
            [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
            {},
            r"entry \(0, 1\) is 1, which differs from its mirror",
        ),
        ([[np.nan, 1.0], [1.0, 0.0]], {}, "no finite numbers"),
        (HALF, {"graph": nx.path_graph(3)}, "the graph has 3 nodes"),
        (HALF, {"graph": nx.empty_graph(2)}, r"entry \(0, 1\) is 0.5, and the graph has no such"),
    ],
)
def test_what_is_wrong_is_named(
    matrix: Any, options: dict[str, Any], complaint: str, sparse: bool
) -> None:
    array = np.array(matrix, dtype=np.float64)
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.check_mixing_matrix(csr_array(array) if sparse else array, **options)


def test_only_what_is_asked_for_is_checked() -> None:
    swap = np.array([[0.5, 0.5], [1.0, 0.0]])
    topologies.check_mixing_matrix(swap, symmetric=False, doubly_stochastic=False)
    turn = np.roll(np.eye(3), 1, axis=1)
    topologies.check_mixing_matrix(turn, symmetric=False)
    topologies.check_mixing_matrix(HALF + np.diag([0.01, 0.0]), within=0.1)


def test_a_name_that_is_nearly_right_is_told() -> None:
    for name, known in (("kregular", "k-regular"), ("watts_strogatz", "watts-strogatz")):
        with pytest.raises(topologies.TopologyError, match=rf"; did you mean '{known}'\?$"):
            topologies.create(name, nodes=8)
    with pytest.raises(topologies.TopologyError, match=r"watts-strogatz$"):
        topologies.create("nothing-like-it", nodes=8)
