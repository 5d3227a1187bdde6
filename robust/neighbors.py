"""Telling the neighbors' rows from the own one, and rows that are equal from each other."""

import math
from collections.abc import Sequence

import torch

from robust.inputs import Inputs


def find_own_rows(inputs: Inputs) -> list[int]:
    """List the rows that are equal to the own vector, by ascending key.

    One of them is the own row and the others are neighbors that agree with it; which one is which
    makes no difference to a sum. Behind a pre-aggregation, a row is an own one if nothing else is
    in it: caps on others' shares leave own as it is, an average does not.

    Args:
        inputs: With the own vector.

    Raises:
        InputError: If the caller did not give it.
    """
    own = inputs.required_own()
    is_own = torch.tensor([torch.equal(vector, own) for vector in inputs.vectors])
    if inputs.mixing is not None:
        foreign = inputs.mixing[:, ~is_own].abs().sum(dim=1)
        is_own = (foreign == 0.0) & (inputs.mixing.sum(dim=1) == 1.0)
    return [row for row in inputs.order if is_own[row]]


def find_equal_rows(inputs: Inputs, distances: Sequence[float]) -> list[list[int]]:
    """Group the rows that are equal to each other; rows like no other are in no group.

    Args:
        inputs: The rows; behind a pre-aggregation there are no groups.
        distances: One per row, from any one point: rows that differ in it are not compared.
    """
    if inputs.mixing is not None:
        return []
    groups: dict[float, list[list[int]]] = {}
    for row in inputs.order:
        candidates = groups.setdefault(distances[row], [])
        for group in candidates:
            if torch.equal(inputs.vectors[group[0]], inputs.vectors[row]):
                group.append(row)
                break
        else:
            candidates.append([row])
    return [group for same in groups.values() for group in same if len(group) > 1]


def share_among_equals(shares: Sequence[float], rows: Sequence[int]) -> tuple[float, ...]:
    """Give equal rows equal shares of what they have together, so that no name gains by it.

    Args:
        shares: One per row.
        rows: The equal ones.
    """
    result = list(shares)
    total = math.fsum(shares[row] for row in rows)
    for row in rows:
        result[row] = total / len(rows)
    return tuple(result)
