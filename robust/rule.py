"""What every rule is: a pure function (n, d) -> (d,) that can account for each row's share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import check_finite
from robust.errors import InputError
from robust.inputs import Inputs, NoOwnVectorError, check_inputs
from robust.tolerance import too_few_rows


@final
@dataclass(frozen=True, slots=True, eq=False)
class Aggregation:
    """A rule's output and what each row contributed to it.

    Attributes:
        vector: Shape (d,), type and device of the rule's input.
        coefficients: Shape (n,), float64, on the CPU, in the order of the rows. For an affine
            rule the c_j of sum_j c_j x_j; for a coordinate-wise one the mean over the coordinates
            of the coefficient that the row got; for FLTrust, which scales rows up, the c_j of the
            scaled rows. None is below 0, and with `own_coefficient` they sum to at most 1.
            Rows with equal values share equally, except where a rule chooses among rows, as Krum
            does: keys decide there.
        own_coefficient: What a self-centered rule gives to `own` itself, over and above the row
            in which `own` stands among the others; 0 for every other rule. All coefficients and
            this sum to 1, except where lengths are clipped or signs voted on: what is missing
            then belongs to the zero vector.
        note: A sentence on what the rule could not do as it was asked to; empty if there is none.
    """

    vector: Tensor
    coefficients: Tensor
    own_coefficient: float = 0.0
    note: str = ""

    @classmethod
    def of_rows(
        cls,
        vector: Tensor,
        inputs: Inputs,
        shares: Sequence[float],
        own_share: float = 0.0,
        note: str = "",
    ) -> Self:
        """Make one from shares in the rows that the rule saw.

        Args:
            vector: The output.
            inputs: What the rule saw.
            shares: One per row of `inputs`.
            own_share: As `own_coefficient`.
            note: As the attribute.
        """
        coefficients = torch.tensor(inputs.given_shares(shares), dtype=torch.float64)
        return cls(vector, coefficients, own_share, note)


class Rule(ABC):
    """A way to combine rows of which some may be lies.

    Rules are values: equal parameters make equal rules, calling one changes neither the rule nor
    its arguments, and no result depends on the order of the rows beyond rounding.

    Attributes:
        byzantine_count: Rows that may be arbitrary; the papers' f.
    """

    __slots__ = ()

    # Ranks: int64, each row a permutation of 0..d-1. All other rules read floating point.
    reads_ranks: ClassVar[bool] = False

    # Whether it refuses NaN and infinity on its way, as `Inputs.measure` and `Inputs.combine` do
    # for it if it reads every row by them: that saves a pass over the vectors for it alone.
    finds_wild_values: ClassVar[bool] = False

    byzantine_count: int

    @property
    @abstractmethod
    def rows_min(self) -> int:
        """The fewest rows among which the rule survives `byzantine_count` liars."""

    @final
    def __call__(
        self,
        vectors: Tensor,
        *,
        own: Tensor | None = None,
        weights: Sequence[float] | Tensor | None = None,
        keys: Sequence[bytes] | Sequence[str] | Sequence[int] | None = None,
        gram: Tensor | None = None,
    ) -> Tensor:
        """Combine the rows into one vector.

        Args:
            vectors: One row per peer, the own one included, shape (n, d); float16, bfloat16,
                float32 or float64, finite. Half-size types are summed in float32. If the rule
                `reads_ranks`, int64 ranks.
            own: The own row once more, shape (d,). Self-centered rules need it, others ignore it.
            weights: n mixing weights >= 0, scaled here to sum to 1; equal ones if left out. The
                rule's own documentation says whether it uses them.
            keys: n different sortable identities. Rows are summed in their order, which makes
                the result independent of the order of the rows to the last bit, and ties are
                broken by them. Without keys the order of the rows serves.
            gram: Shape (n, n), the rows' inner products where those of the vectors themselves do
                not measure what the update does (of B A for LoRA): symmetric, none of a row with
                itself below 0, but for rounding. Rules without distances or angles ignore it.

        Returns:
            Shape (d,), type and device of `vectors`, newly allocated.

        Raises:
            InputError: If an argument is not as described.
            InfeasibleError: If there are fewer than `rows_min` rows.
        """
        with torch.no_grad():
            inputs = check_inputs(
                vectors,
                own=own,
                weights=weights,
                keys=keys,
                gram=gram,
                reads_ranks=self.reads_ranks,
                finds_wild_values=self.finds_wild_values,
            )
            self._check_feasible(inputs)
            try:
                return self._vector(inputs)
            except NoOwnVectorError as error:
                raise self._no_own_vector() from error

    @final
    def aggregate(
        self,
        vectors: Tensor,
        *,
        own: Tensor | None = None,
        weights: Sequence[float] | Tensor | None = None,
        keys: Sequence[bytes] | Sequence[str] | Sequence[int] | None = None,
        gram: Tensor | None = None,
    ) -> Aggregation:
        """Combine the rows as `__call__` does and say what each contributed.

        Args:
            vectors: As in `__call__`.
            own: As in `__call__`.
            weights: As in `__call__`.
            keys: As in `__call__`.
            gram: As in `__call__`.

        Returns:
            The same vector, to the last bit, and the coefficients.

        Raises:
            InputError: As in `__call__`.
            InfeasibleError: As in `__call__`.
        """
        with torch.no_grad():
            inputs = check_inputs(
                vectors,
                own=own,
                weights=weights,
                keys=keys,
                gram=gram,
                reads_ranks=self.reads_ranks,
                finds_wild_values=self.finds_wild_values,
            )
            self._check_feasible(inputs)
            try:
                return self._aggregate(inputs)
            except NoOwnVectorError as error:
                raise self._no_own_vector() from error

    @abstractmethod
    def _vector(self, inputs: Inputs) -> Tensor:
        """Compute the vector alone, where the coefficients would cost extra."""

    @abstractmethod
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        """Compute the vector and the coefficients."""

    @property
    def _said_name(self) -> str:
        """What errors call it."""
        return type(self).__name__

    def _no_own_vector(self) -> InputError:
        fix = "give own=, the vector it starts from"
        return InputError(f"{self._said_name} is self-centered: {fix}")

    def _check_feasible(self, inputs: Inputs) -> None:
        row_count = inputs.row_count
        if row_count < self.rows_min:
            if not inputs.is_checked:  # what is wrong with the rows goes first
                check_finite(inputs.vectors, "vectors")
            raise too_few_rows(
                self._said_name, self.byzantine_count, needed=self.rows_min, given=row_count
            )


@final
@dataclass(frozen=True, slots=True)
class Shares:
    """What a span rule gives to each row.

    Attributes:
        rows: One number per row, the c_j of sum_j c_j row_j.
        own: What goes to the own vector over and above its row; None for a rule that is not
            self-centered.
        scaled: The same for the rows as the rule scaled them, which is what each row is said to
            have contributed; None for a rule that scales none.
    """

    rows: tuple[float, ...]
    own: float | None = None
    scaled: tuple[float, ...] | None = None


class SpanRule(Rule):
    """A rule whose output is a weighted sum of the rows.

    It decides on the weights from the rows' geometry alone, so it reads the vectors twice: once
    for their inner products, once for the sum.
    """

    __slots__ = ()

    @abstractmethod
    def _shares(self, inputs: Inputs) -> Shares:
        """Decide what each row counts."""

    @final
    @override
    def _vector(self, inputs: Inputs) -> Tensor:
        shares = self._shares(inputs)
        return inputs.combine(shares.rows, is_self_centered=shares.own is not None)

    @final
    @override
    def _aggregate(self, inputs: Inputs) -> Aggregation:
        shares = self._shares(inputs)
        vector = inputs.combine(shares.rows, is_self_centered=shares.own is not None)
        if shares.scaled is None:
            return Aggregation.of_rows(vector, inputs, shares.rows, shares.own or 0.0)
        coefficients = inputs.given_shares_of_scaled(shares.scaled)
        return Aggregation(
            vector, torch.tensor(coefficients, dtype=torch.float64), shares.own or 0.0
        )
