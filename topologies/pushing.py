"""Averages although some peers' rows count for more than others'."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topologies.checks import check_mixing_matrix
from topologies.errors import TopologyError
from topologies.matrices import Matrix
from topologies.parameters import shown


def push_sum(values: NDArray[Any], shares: Iterable[Matrix]) -> NDArray[np.float64]:
    """Let every peer give away shares of its value and of a weight, and divide one by the other.

    Peers need not know who hears them, nor how many: the ratio comes to the mean of all values
    where shares that are not doubly stochastic alone would not.

    Args:
        values: Of the peers at first, (n,) or (n, d).
        shares: For each round, (n, n): row i says which share node i gives to each, and keeps.
            Rows sum to 1. `itertools.repeat(shares, rounds)` is the same for each round.

    Returns:
        What the peers take for the mean after the last round, float64, of the shape of `values`.

    Raises:
        TopologyError: If the shapes do not agree, or shares do not sum to 1.

    Source: Kempe, Dobra and Gehrke 2003, "Gossip-based computation of aggregate information",
        protocol push-sum. On changing directed graphs: Nedić and Olshevsky 2015, "Distributed
        optimization over time-varying directed graphs" (subgradient-push without gradients).
    Differs: nothing.
    Cost: O(edges d) per round.
    """
    sums = _numbers(values)
    if sums.ndim not in (1, 2) or len(sums) == 0:
        raise TopologyError(f"values of shape {sums.shape}: use (n,) or (n, d)")
    rest = (1,) * (sums.ndim - 1)
    weights = np.ones((len(sums), *rest))
    checked = None
    for number, matrix in enumerate(_iterated(shares)):
        if number == 0 or matrix is not checked:
            _check_shares(matrix, number)
            checked = matrix
        if matrix.shape[0] != len(sums):
            raise TopologyError(
                f"shares of shape {matrix.shape}: there are {len(sums)} values; use as many rows"
            )
        sums, weights = matrix.T @ sums, matrix.T @ weights
    if not weights.all():
        node = int(np.argmin(weights.ravel()))
        raise TopologyError(f"shares: node {node} is given nothing; let every node keep a share")
    return sums / weights


def _numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TopologyError(f"values={shown(values)}: use an array of numbers") from None


def _iterated(shares: Iterable[Matrix]) -> Iterable[Matrix]:
    try:
        return iter(shares)
    except TypeError:
        raise TopologyError(f"shares={shown(shares)}: use a list of matrices") from None


def _check_shares(matrix: Matrix, number: int) -> None:
    try:
        check_mixing_matrix(matrix, symmetric=False, doubly_stochastic=False)
    except TopologyError as error:
        raise TopologyError(f"shares of round {number}: {error}") from error
