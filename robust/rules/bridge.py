"""Gossip behind a screening of the neighbors, which may be any of four rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final, get_args

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import accumulator, column_blocks, write_unsigned_zeros
from robust.errors import InputError, RuleError
from robust.inputs import Inputs
from robust.neighbors import find_own_rows, share_among_equals
from robust.rule import Aggregation, Rule
from robust.rules.bulyan import bulyan, bulyan_vector
from robust.rules.coordinate_wise import Median
from robust.rules.krum import Krum
from robust.sorted_runs import Run, kept_values
from robust.sorting_network import sort_middle
from robust.tolerance import check_byzantine_count

Screening = Literal["trimmed-mean", "median", "krum", "bulyan"]

# The fewest neighbors, own not counted, as (times b, plus).
_NEIGHBORS_MIN: Final = {
    "trimmed-mean": (2, 1),
    "median": (2, 1),
    "krum": (2, 3),
    "bulyan": (4, 3),
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge(Rule):
    """Screen the neighbors' rows together with own: BRIDGE-T, -M, -K or -B.

    With N the neighbors: "trimmed-mean" averages own with what is left of each coordinate after
    dropping the neighbors' b smallest and b largest values, so own is never dropped; it needs
    |N| >= 2 b + 1. "median", of the neighbors and own, needs as many; "krum" of them needs 2 b + 3
    and "bulyan" 4 b + 3. With fewer, own is to be kept, as everywhere.

    `own` is required and has to be among the rows; behind a pre-aggregation, all rows are
    neighbors', and "trimmed-mean" adds own to them. Every row has one vote: `weights` are ignored,
    and `keys` break the ties of "krum" and "bulyan", whose distances come from `gram` if it is
    given.

    Args:
        byzantine_count: Neighbors that may lie; the paper's b.
        screening: "trimmed-mean", "median", "krum" or "bulyan", as said above.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0 or `screening` unknown.

    Source: Fang, Yang and Bajwa 2022, "BRIDGE: Byzantine-resilient decentralized gradient descent",
        its four screenings.
    Differs: the gradient step that follows is the training's.
    Cost: O(d n log(n)^2) time and one block of n rows beyond the result in memory for the first
        two; those of `Krum` and `bulyan_vector` for the others.
    """

    byzantine_count: int
    screening: Screening = "trimmed-mean"

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        if self.screening not in get_args(Screening):
            known = ", ".join(get_args(Screening))
            raise RuleError(f"unknown screening {self.screening!r}; known: {known}")

    @property
    @override
    def rows_min(self) -> int:
        """Own and the fewest neighbors: 2 f + 2, with "krum" 2 f + 4, with "bulyan" 4 f + 4."""
        times, plus = _NEIGHBORS_MIN[self.screening]
        return times * self.byzantine_count + plus + 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        own_rows = _require_own_row(inputs)
        match self.screening:
            case "trimmed-mean":
                return _trim(inputs, own_rows[:1], self.byzantine_count, None)
            case "median":
                return Median(byzantine_count=self.byzantine_count)._vector(inputs)
            case "krum":
                return Krum(byzantine_count=self.byzantine_count)._vector(inputs)
            case "bulyan":
                return bulyan_vector(inputs, self.byzantine_count)

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        own_rows = _require_own_row(inputs)
        match self.screening:
            case "trimmed-mean":
                return _aggregate_trimmed(inputs, own_rows, self.byzantine_count)
            case "median":
                return Median(byzantine_count=self.byzantine_count)._aggregate(inputs)
            case "krum":
                return Krum(byzantine_count=self.byzantine_count)._aggregate(inputs)
            case "bulyan":
                return bulyan(inputs, self.byzantine_count)


def _require_own_row(inputs: Inputs) -> list[int]:
    own_rows = find_own_rows(inputs)
    if not own_rows and inputs.mixing is None:
        raise InputError("bridge screens own with its neighbors, and own is not among the rows")
    return own_rows


def _aggregate_trimmed(
    inputs: Inputs, own_rows: Sequence[int], byzantine_count: int
) -> Aggregation:
    kept = torch.zeros(inputs.row_count, dtype=torch.float64)
    vector = _trim(inputs, own_rows[:1], byzantine_count, kept)
    count = inputs.row_count - len(own_rows[:1]) - 2 * byzantine_count + 1
    shares = (kept / (count * inputs.dimension)).tolist()
    if not own_rows:
        return Aggregation.of_rows(vector, inputs, shares, 1.0 / count)
    shares[own_rows[0]] = 1.0 / count
    return Aggregation.of_rows(vector, inputs, share_among_equals(shares, own_rows))


def _trim(
    inputs: Inputs, own_row: Sequence[int], byzantine_count: int, kept: Tensor | None
) -> Tensor:
    """Average own with the middle of the neighbors; add to `kept` (rows,) how many are whose."""
    own = inputs.required_own()
    neighbors = torch.tensor([row for row in range(inputs.row_count) if row not in own_row])
    kept_count = len(neighbors) - 2 * byzantine_count
    share = 1.0 / (kept_count + 1)
    result = torch.empty_like(own)
    for columns in column_blocks(inputs.vectors):
        block = inputs.block(columns)[neighbors.to(own.device)]  # (neighbors, columns)
        middle = sort_middle(block if kept is None else block.clone(), byzantine_count)
        # Scaled before it is summed: a mean of values near the type's maximum must not overflow.
        total = own[columns].to(accumulator(own.dtype)) * share
        for values in middle:
            total += values * share
        write_unsigned_zeros(total, result[columns])
        if kept is not None:
            run = Run(byzantine_count, kept_count, middle[0], middle[-1])
            kept[neighbors] += kept_values(block, run)
    return result
