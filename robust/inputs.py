"""The checked arguments of one call of a rule."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, final

import torch
from torch import Tensor

from robust.blocks import (
    accumulator,
    check_finite,
    combine,
    is_dense,
    is_supported,
    supported_names,
)
from robust.errors import InputError
from robust.geometry import Geometry, from_gram, measure, measure_about_origin
from robust.parameters import shown
from robust.ranks.ranking import check_permutation

# guess: more than rounding in a short type makes of the largest product, less than a mistake does
_GRAM_SLACK: Final = 1e-3


@final
class NoOwnVectorError(InputError):
    """A rule needs the own vector, and was not given it; the rule says its name in its place."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What a rule computes on; every field has been checked.

    Attributes:
        vectors: Shape (n, d), n >= 1, d >= 1: floating point and finite, or ranks.
        own: Shape (d,), type and device of `vectors`, finite; None if not given.
        weights: n numbers >= 0 that sum to 1.
        order: The row indices by ascending key, or as given without keys.
        gram: Shape (n, n), float64, on the CPU, finite; None if not given.
        mixing: Shape (m, n), float64, on the CPU: the rule is to see the m rows sum_j M_ij x_j in
            place of the n vectors; None if it sees the vectors. `weights` and `order` are those of
            the rows that the rule sees.
        given_order: The indices of the vectors by ascending key, or as given without keys.
        keys: The keys of the vectors, in their order; None without keys.
        is_checked: Whether the vectors are known to be finite; if not, `measure` and `combine`
            refuse those that they read and that are not, and whoever reads them by `block` has to.
    """

    vectors: Tensor
    own: Tensor | None
    weights: tuple[float, ...]
    order: tuple[int, ...]
    gram: Tensor | None
    given_order: tuple[int, ...]
    mixing: Tensor | None = None
    keys: tuple[bytes | str | int, ...] | None = None
    is_checked: bool = True

    @property
    def row_count(self) -> int:
        """How many rows the rule sees."""
        return self.vectors.shape[0] if self.mixing is None else self.mixing.shape[0]

    @property
    def dimension(self) -> int:
        """The length of a row, d."""
        return self.vectors.shape[1]

    def block(self, columns: slice, into: Tensor | None = None) -> Tensor:
        """Return some columns of all rows, shape (rows, columns), summable.

        A rule that changes it changes no argument of its caller.

        Args:
            columns: Which.
            into: An earlier and no narrower block, to be overwritten. Blocks that each allocate
                their own memory make the system take it back and give it again: measured, trimmed
                mean of 20 rows of 1e7 fp32, 558 ms so and 393 into one.
        """
        wide = accumulator(self.vectors.dtype)
        if into is None:
            shape = (self.row_count, columns.stop - columns.start)
            into = torch.empty(shape, dtype=wide, device=self.vectors.device)
        into = into[:, : columns.stop - columns.start]
        if self.mixing is None:
            return into.copy_(self.vectors[:, columns])
        # Summed in the order of the keys, so that the order of the vectors does not matter.
        block, mixing = self.vectors[:, columns], self.mixing
        if self.given_order != tuple(range(len(block))):
            order = torch.tensor(self.given_order)
            block, mixing = block[order.to(block.device)], mixing[:, order]
        return torch.mm(mixing.to(block.device, wide), block.to(wide), out=into)

    def required_own(self) -> Tensor:
        """Return the own vector.

        Raises:
            NoOwnVectorError: If the caller did not give it.
        """
        if self.own is None:
            raise NoOwnVectorError("give own=, the vector that a self-centered rule starts from")
        return self.own

    def measure(self) -> Geometry:
        """Measure the rows: by `gram` if it was given, or else in one pass over the vectors.

        Returns:
            Their geometry: how they differ from each other and from own. Where zero is, it may not
            know.

        Raises:
            InputError: If `gram` was given with an own vector that is not among the vectors.
            InfeasibleError: If a distance is beyond the range of float64.
        """
        # What a mixing lacks to an average is the origin's.
        return self._measure_by(partial(measure, has_origin=self.mixing is not None))

    def measure_about_origin(self) -> Geometry:
        """Measure the rows for their lengths and the angles between them, rather than distances.

        Raises:
            InputError: As in `measure`.
            InfeasibleError: If the square of a length is beyond the range of float64.
        """
        return self._measure_by(measure_about_origin)

    def _measure_by(
        self, measured: Callable[[Tensor, Tensor | None, Sequence[int]], Geometry]
    ) -> Geometry:
        if self.gram is None:
            geometry = measured(self.vectors, self.own, self.given_order)
        else:
            if not self.is_checked:
                check_finite(self.vectors, "vectors")
            own_row = None if self.own is None else self._find_own(self.own)
            geometry = from_gram(self.gram, own_row, self.given_order)
        return geometry if self.mixing is None else geometry.mixed(self.mixing, self.given_order)

    def combine(self, shares: Sequence[float], *, is_self_centered: bool = False) -> Tensor:
        """Sum c_j row_j, or own + c_j (row_j - own), in the order of the keys.

        Args:
            shares: The c_j, one per row.
            is_self_centered: Whether to sum the differences from the own vector.

        Raises:
            InputError: If a vector with a share is not finite.
        """
        given = self.given_shares(shares)
        # Rows that are scaled ones take what they lack from the origin, not from own.
        lack = 0.0 if self.mixing is None else math.fsum(shares) - math.fsum(given)
        return combine(
            self.vectors,
            given,
            self.given_order,
            center=self.required_own() if is_self_centered else None,
            center_share=1.0 - lack,
        )

    def by_row(self, by_key: Sequence[float]) -> list[float]:
        """Return, in the order of the rows, numbers that are in the order of the keys."""
        by_row = [0.0] * len(by_key)
        for row, number in zip(self.order, by_key, strict=True):
            by_row[row] = number
        return by_row

    def given_shares(self, shares: Sequence[float]) -> list[float]:
        """Return what shares in the rows that the rule sees are as shares in the vectors given."""
        if self.mixing is None:
            return list(shares)
        given: list[float] = (
            torch.tensor(list(shares), dtype=torch.float64) @ self.mixing
        ).tolist()
        return given

    def given_shares_of_scaled(self, shares: Sequence[float]) -> list[float]:
        """Return shares in the rows as the rule scaled them as shares in the vectors given.

        How far a mixing shortened a row is lost on a rule that scales the row, so each share is
        split among the vectors by their parts in the row, and none of it is missing.
        """
        if self.mixing is None:
            return list(shares)
        totals = self.mixing[:, torch.tensor(self.given_order)].sum(dim=1).tolist()
        return self.given_shares(
            [
                share / total if share > 0.0 else 0.0
                for share, total in zip(shares, totals, strict=True)
            ]
        )

    def _find_own(self, own: Tensor) -> int:
        for row, vector in enumerate(self.vectors):
            if torch.equal(vector, own):
                return row
        raise InputError("gram measures distances between rows, and own is not among them")


def check_inputs(
    vectors: Tensor,
    *,
    own: Tensor | None,
    weights: Sequence[float] | Tensor | None,
    keys: Sequence[bytes] | Sequence[str] | Sequence[int] | None,
    gram: Tensor | None,
    reads_ranks: bool = False,
    finds_wild_values: bool = False,
) -> Inputs:
    """Check the arguments of a rule; `Rule` says what they mean.

    Raises:
        InputError: With the offending value, if a rule could not read one of them.
    """
    check_dense(vectors, "vectors")
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"vectors of shape {tuple(vectors.shape)} are not (n, d) with n, d >= 1")
    if reads_ranks:
        _check_ranks(vectors)
    elif not is_supported(vectors.dtype):
        raise InputError(f"vectors of {vectors.dtype}: rules read {supported_names()}")
    elif not finds_wild_values:
        check_finite(vectors, "vectors")
    row_count = vectors.shape[0]
    if own is not None:
        check_like(own, vectors[0], "own")
        if reads_ranks:
            check_permutation(own, "own")
        else:
            check_finite(own, "own")
    order = _order(keys, row_count)
    return Inputs(
        vectors=vectors,
        own=own,
        weights=_normalized(weights, row_count),
        order=order,
        given_order=order,
        gram=None if gram is None else _checked_gram(gram, row_count),
        keys=None if keys is None else tuple(keys),
        is_checked=not finds_wild_values,
    )


def check_dense(value: object, name: str) -> None:
    """Raise InputError unless a value is a tensor that a rule can read, whatever its shape."""
    if is_dense(value):
        return
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise InputError(f"{name}: {kind} is not a tensor; give torch.tensor(...) of it")
    kind = f"{value.layout}, on {value.device}{', nested' if value.is_nested else ''}"
    raise InputError(f"{name} of {value.dtype} ({kind}) is not dense in memory; give .to_dense()")


def check_like(vector: Tensor, model: Tensor, name: str) -> None:
    """Raise InputError unless `vector` is dense, with shape, type and device of `model`."""
    check_dense(vector, name)
    got = (tuple(vector.shape), vector.dtype, str(vector.device))
    wanted = (tuple(model.shape), model.dtype, str(model.device))
    if got != wanted:
        raise InputError(f"{name} is {got}, expected (shape, type, device) {wanted}")


def _check_ranks(vectors: Tensor) -> None:
    if vectors.dtype != torch.int64:
        raise InputError(f"vectors of {vectors.dtype}: this rule reads ranks, which are int64")
    for row, ranks in enumerate(vectors):
        check_permutation(ranks, f"row {row}")


def _normalized(weights: Sequence[float] | Tensor | None, row_count: int) -> tuple[float, ...]:
    if weights is None:
        return (1.0 / row_count,) * row_count
    values = _weight_values(weights)
    if len(values) != row_count:
        raise InputError(f"{len(values)} weights for {row_count} rows")
    if not all(math.isfinite(value) and value >= 0.0 for value in values):
        raise InputError(f"weights {values} are not all finite and >= 0")
    peak = max(values)
    if peak == 0.0:
        raise InputError("weights are all 0: no row would count")
    total = math.fsum(value / peak for value in values)  # exact, so no order of rows matters
    return tuple(value / peak / total for value in values)


def _weight_values(weights: Sequence[float] | Tensor) -> list[float]:
    if isinstance(weights, Tensor):
        check_dense(weights, "weights")
        if weights.ndim != 1 or weights.is_complex():
            raise InputError(
                f"weights of {weights.dtype} and shape {tuple(weights.shape)} are not n numbers, "
                "shape (n,)"
            )
        return [float(value) for value in weights.tolist()]
    try:
        return [math.fsum((value,)) for value in weights]  # unlike float(), it reads no text
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"weights {shown(weights)} are not n numbers: {error}") from error


def _order(
    keys: Sequence[bytes] | Sequence[str] | Sequence[int] | None, row_count: int
) -> tuple[int, ...]:
    if keys is None:
        return tuple(range(row_count))
    try:
        if len(keys) != row_count:
            raise InputError(f"{len(keys)} keys for {row_count} rows")
        if len(set(keys)) != row_count:
            raise InputError("keys repeat: the order of their rows would be undefined")
        return tuple(sorted(range(row_count), key=keys.__getitem__))
    except TypeError as error:
        raise InputError(
            f"keys cannot be sorted: {error}; give all as bytes, all as text or all as numbers"
        ) from error


def check_gram(gram: Tensor, row_count: int) -> Tensor:
    """Return inner products of `row_count` rows as float64 on the CPU, finite or not.

    Raises:
        InputError: If they are no real matrix of that many rows and columns.
    """
    check_dense(gram, "gram")
    if tuple(gram.shape) != (row_count, row_count):
        raise InputError(f"gram of shape {tuple(gram.shape)} for {row_count} rows")
    if gram.is_complex():
        raise InputError(f"gram of {gram.dtype}: inner products are real numbers, give .real")
    return gram.cpu().to(torch.float64)


def _checked_gram(gram: Tensor, row_count: int) -> Tensor:
    products = check_gram(gram, row_count)
    if not bool(torch.isfinite(products).all()):
        raise InputError("gram: NaN or infinity")
    slack = _GRAM_SLACK * float(products.abs().max())
    least = float(products.diagonal().min())
    if least < -slack:
        raise InputError(
            f"gram: {least} is no product of a row with itself, which is 0 or more; give "
            "rows @ rows.T, or what else is a matrix of inner products"
        )
    if float((products - products.T).abs().max()) > slack:
        raise InputError(
            "gram is not symmetric: the product of two rows does not depend on their order; give "
            "(gram + gram.T) / 2 if that is rounding"
        )
    return products
