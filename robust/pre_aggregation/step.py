"""What every pre-aggregation is: a linear map of the rows, decided from their geometry."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor
from typing_extensions import override

from robust.errors import RuleError
from robust.inputs import Inputs
from robust.rule import Aggregation, Rule
from robust.tolerance import too_few_rows


class PreAggregation(ABC):
    """Replaces n rows by m combinations of them, before a rule sees them.

    Attributes:
        byzantine_count: Rows that may be arbitrary; the papers' f.
    """

    __slots__ = ()

    byzantine_count: int

    @property
    @abstractmethod
    def rows_min(self) -> int:
        """The fewest rows among which it is defined."""

    @abstractmethod
    def mixing(self, inputs: Inputs) -> Tensor:
        """Decide on the combinations.

        Args:
            inputs: The n rows that it sees.

        Returns:
            M of shape (m, n), float64, on the CPU; the next step sees the rows sum_j M_ij row_j.
        """


@final
@dataclass(frozen=True, slots=True)
class PreAggregated(Rule):
    """A rule behind one or more pre-aggregations, as `robust.create("nnm+trimmed-mean", ...)`.

    The rows in between are never all in memory: distances are derived from those of the vectors,
    and a coordinate-wise rule gets its rows block by block.

    Args:
        steps: In the order in which they are applied.
        base: The rule that sees what is left.

    Raises:
        RuleError: If there is no step, or the rule reads ranks.
    """

    steps: tuple[PreAggregation, ...]
    base: Rule

    def __post_init__(self) -> None:
        if not self.steps:
            raise RuleError("steps=(): without a pre-aggregation, use the rule itself")
        if self.base.reads_ranks:
            raise RuleError(f"{type(self.base).__name__} reads ranks, which cannot be mixed")

    @property
    @override
    def byzantine_count(self) -> int:  # type: ignore[override]  # derived, so it cannot be set
        """That of the rule behind the steps."""
        return self.base.byzantine_count

    @property
    @override
    def rows_min(self) -> int:
        """That of the first step; what the others need depends on what the steps leave."""
        return self.steps[0].rows_min

    @property
    @override
    def _said_name(self) -> str:
        """That of the rule behind the steps."""
        return self.base._said_name

    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        return self.base._vector(self._mixed(inputs))

    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        return self.base._aggregate(self._mixed(inputs))

    @override
    def _check_feasible(self, inputs: Inputs) -> None:
        """Leave it to the steps, whose names say more than this one's."""

    def _mixed(self, inputs: Inputs) -> Inputs:
        for step in self.steps:
            if inputs.row_count < step.rows_min:
                raise too_few_rows(
                    type(step).__name__,
                    step.byzantine_count,
                    needed=step.rows_min,
                    given=inputs.row_count,
                )
            inputs = mix(inputs, step.mixing(inputs))
        self.base._check_feasible(inputs)
        return inputs


def mix(inputs: Inputs, mixing: Tensor) -> Inputs:
    """Return what a rule sees behind one more linear map of the rows.

    If the rows stay as many as they were, the i-th new one succeeds the i-th old one, and they are
    put in the order of their keys; otherwise their own order is the order. A new row weighs the
    mean of what the rows in it weigh, by their shares in it: to scale a row changes no weight.

    Args:
        inputs: The n rows so far.
        mixing: Shape (m, n), float64, on the CPU.
    """
    count = len(mixing)
    order = torch.tensor(inputs.order)
    if count == inputs.row_count:
        mixing = mixing[order]
    parts = mixing.abs()[:, order]  # summed in the order of the keys
    totals = parts.sum(dim=1)
    weights = parts @ torch.tensor(inputs.weights, dtype=torch.float64)[order]
    # A row scaled to nothing no longer tells whose it was.
    means = torch.where(totals > 0.0, weights / totals, 1.0 / inputs.row_count).tolist()
    total = math.fsum(means)
    return replace(
        inputs,
        mixing=mixing if inputs.mixing is None else mixing @ inputs.mixing,
        weights=tuple(mean / total for mean in means) if total > 0.0 else (1.0 / count,) * count,
        order=tuple(range(count)),
    )
