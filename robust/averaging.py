"""The mixing step of plain gossip, which survives no liar: the baseline."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import combine
from robust.inputs import Inputs
from robust.rule import Aggregation, Rule
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(Rule):
    """Average the rows: sum_j W_j x_j. One liar moves the result anywhere.

    `weights` are the W_j. `own` and `gram` are ignored.

    Args:
        byzantine_count: Taken so that every rule can be made alike; the mean is defined for any
            number of liars and survives none.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Xiao and Boyd 2004, "Fast linear iterations for distributed averaging", its
        iteration x_i <- sum_j W_ij x_j.
    Differs: nothing; the weights of one peer are one row of the paper's matrix W.
    Cost: O(n d) time, one block beyond the result in memory.
    """

    byzantine_count: int = 0

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """One: what it is given is all that it needs."""
        return 1

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return combine(inputs.vectors, inputs.weights, inputs.order)

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        return Aggregation(
            vector=self._vector(inputs),
            coefficients=torch.tensor(inputs.weights, dtype=torch.float64),
        )
