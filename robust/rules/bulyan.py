"""Bulyan: pick rows by Krum, then average in each coordinate what is near their median.

It stands in no table of rules: it is a screening of BRIDGE.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.inputs import Inputs
from robust.rule import Aggregation
from robust.rules.mean_around_median import aggregate_around_median, average_around_median


def bulyan_vector(inputs: Inputs, byzantine_count: int) -> Tensor:
    """Average in each coordinate n - 4 f values of the rows that Krum picks.

    Args:
        inputs: The rows; at least 4 f + 3, for its guarantee to hold.
        byzantine_count: f.

    Returns:
        Shape (d,), newly allocated.

    Source: El Mhamdi, Guerraoui and Rouault 2018, "The hidden vulnerability of distributed learning
        in Byzantium", section 4, with Krum.
    Differs: of two values at the same distance from the median, the smaller is kept; for Krum, see
        `pick_by_krum`.
    Cost: O(n^2 d + n^3 log(n)) time in two passes, two blocks of n rows in memory.
    """
    kept_count = inputs.row_count - 4 * byzantine_count
    return average_around_median(inputs, kept_count, rows=_pick(inputs, byzantine_count))


def bulyan(inputs: Inputs, byzantine_count: int) -> Aggregation:
    """Do as `bulyan_vector`, and say what each row contributed."""
    kept_count = inputs.row_count - 4 * byzantine_count
    return aggregate_around_median(inputs, kept_count, rows=_pick(inputs, byzantine_count))


def pick_by_krum(distances: Tensor, order: Sequence[int], byzantine_count: int) -> list[int]:
    """Pick n - 2 f rows, each time the one that Krum takes of those that are left.

    Args:
        distances: Squared distances between the rows, shape (n, n).
        order: The row indices by ascending key; of rows with equal scores the first is taken.
        byzantine_count: f.

    Source: As `bulyan_vector`.
    Differs: Krum sums the distances to the m - f - 2 nearest of m rows. Of the last few that are
        left, that may be none; here it is one at least.
    Cost: O(n^3 log(n)) time.
    """
    left = torch.tensor(list(order))
    picked: list[int] = []
    while len(picked) < len(order) - 2 * byzantine_count:
        near = distances[left][:, left].sort(dim=1).values  # (m, m), the row itself first
        scores = near[:, 1 : 1 + max(1, len(left) - byzantine_count - 2)].sum(dim=1)
        best = int(scores.argmin())
        picked.append(int(left[best]))
        left = torch.cat([left[:best], left[best + 1 :]])
    return picked


def _pick(inputs: Inputs, byzantine_count: int) -> list[int]:
    return pick_by_krum(inputs.measure().squared_distances(), inputs.order, byzantine_count)
