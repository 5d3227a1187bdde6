"""Lengths, distances and angles between rows, from one pass over them.

All that span rules need of n vectors is their inner products, an (n, n) matrix. It is measured
from a center that lies among the honest rows (the own vector, or the coordinate-wise median):
about the origin, rows that differ by little lose all digits to cancellation, and about the mean,
a single liar far away does the same to everyone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import torch
from torch import Tensor

from robust.blocks import check_finite
from robust.errors import InfeasibleError
from robust.inner_products import inner_products, largest_magnitudes

# Squares of fp32 values below this may lose digits: the smallest normal number is 1e-38.
_SQUARE_MIN: Final = 1e-30
# Squared distances this much smaller than those from own are known to 1e-4 of themselves, at best.
_APART: Final = 1e-3
# Sums of up to 1e5 products, in different orders: measured, equal ones differ by 33 units.
_EQUAL: Final = 64 * torch.finfo(torch.float64).eps


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Geometry:
    """The inner products of m rows, and of the own vector, about any origin.

    Attributes:
        products: Shape (k, k), float64, on the CPU: inner products of k base vectors.
        rows: Shape (m, k), float64: each row as a combination of the base vectors.
        own: Shape (k,), float64: the own vector as one; None if there is none.
        has_origin: Whether it is known where zero is. If not, there are only differences between
            rows, and from own; lengths and products about the origin are not to be asked for.
        places: Shape (m,): where each row is a base vector of its own, but for what all rows have
            in common, which base vector that is; None where rows are mixed.
    """

    products: Tensor
    rows: Tensor
    own: Tensor | None
    has_origin: bool = True
    places: Tensor | None = None

    def gram(self) -> Tensor:
        """Return the inner products of the rows about the origin, shape (m, m)."""
        assert self.has_origin
        return self._products_of(self.rows)

    def gram_about(self, coefficients: Tensor) -> Tensor:
        """Return the inner products of the rows minus sum_j c_j row_j, shape (m, m).

        Args:
            coefficients: The c_j, shape (m,), float64.
        """
        return self._products_of(self.rows - coefficients @ self.rows)

    def gram_about_row(self, row: int) -> Tensor:
        """Return the inner products of the rows minus one of them, shape (m, m)."""
        if self.places is None:
            return self._products_of(self.rows - self.rows[row])
        among = self._products_of_base()
        return (among - among[row]) - (among[:, row] - among[row, row])[:, None]

    def gram_about_own(self) -> Tensor:
        """Return the inner products of the rows minus the own vector, shape (m, m)."""
        assert self.own is not None
        return self._products_of(self.rows - self.own)

    def squared_distances(self) -> Tensor:
        """Return the squared distance of each row from each, shape (m, m), 0 on the diagonal."""
        distances = self._distances_of_mixed() if self.places is None else self._distances_of_base()
        if not self.has_origin:
            # Equal rows have equal products only up to rounding, and are to be at distance 0.
            squares = self._products_of(self.rows).diagonal()
            distances[distances <= _EQUAL * (squares + squares[:, None])] = 0.0
        return distances.clamp_min_(0.0)

    def squared_distances_to_own(self) -> Tensor:
        """Return the squared distance of each row from the own vector, shape (m,)."""
        return self.gram_about_own().diagonal().clamp_min(0.0)

    def squared_norms(self) -> Tensor:
        """Return the squared length of each row, shape (m,)."""
        return self.gram().diagonal().clamp_min(0.0)

    def products_with_own(self) -> Tensor:
        """Return the inner product of each row with the own vector, shape (m,)."""
        assert self.has_origin
        assert self.own is not None
        return self.rows @ self.products @ self.own

    def squared_norm_of_own(self) -> float:
        """Return the squared length of the own vector."""
        assert self.has_origin
        assert self.own is not None
        return max(0.0, float(self.own @ self.products @ self.own))

    def mixed(self, mixing: Tensor, order: Sequence[int] | None = None) -> "Geometry":
        """Return the geometry of other rows, sum_j M_ij row_j.

        Args:
            mixing: M, shape (p, m), float64.
            order: The row indices in the order of summation; as they stand if left out.
        """
        index = torch.tensor(list(range(len(self.rows)) if order is None else order))
        rows = mixing[:, index] @ self.rows[index]
        return replace(self, rows=rows, places=None)

    def in_order(self, order: Sequence[int]) -> "Geometry":
        """Return the geometry of the same rows, in another order."""
        index = torch.tensor(list(order))
        places = None if self.places is None else self.places[index]
        return replace(self, rows=self.rows[index], places=places)

    def _distances_of_base(self) -> Tensor:
        among = self._products_of_base()
        squares = among.diagonal()
        # As two differences: both are zero, to the last bit, between rows of equal products.
        return (squares[:, None] - among.T) - (among - squares)

    def _products_of_base(self) -> Tensor:
        assert self.places is not None
        return self.products[self.places][:, self.places]

    def _distances_of_mixed(self) -> Tensor:
        distances = torch.empty(len(self.rows), len(self.rows), dtype=torch.float64)
        for index, row in enumerate(self.rows):
            # From the differences themselves: a third row far away then takes no digits from them.
            drifts = self.rows - row
            distances[index] = (drifts @ self.products * drifts).sum(dim=1)
        return distances

    def _products_of(self, rows: Tensor) -> Tensor:
        return rows @ self.products @ rows.T


def measure(
    vectors: Tensor,
    own: Tensor | None,
    order: Sequence[int] | None = None,
    *,
    has_origin: bool = True,
) -> Geometry:
    """Measure rows about the own vector, or about their coordinate-wise median without one.

    Args:
        vectors: Shape (n, d), finite.
        own: Shape (d,), same type and device, or None.
        order: The row indices in the order in which they are measured; as they stand if left out.
            Products are rounded differently in different places, so measuring the same rows in
            the same order makes them repeatable to the last bit.
        has_origin: As `Geometry.has_origin`; it costs a tenth more.

    Returns:
        Their geometry; the base vectors are the n differences from the center, and the center.

    Raises:
        InfeasibleError: If a distance is beyond the range of float64.

    Cost: O(n^2 d) time in one pass, one block of n + 1 rows in memory; another pass, in float64 or
        with scaled rows, where float32 does not suffice.
    """
    order = range(len(vectors)) if order is None else order
    products = inner_products(vectors, own, order, scales=None, has_last=has_origin)
    if not _is_finite(products) or float(products.diagonal().max()) < _SQUARE_MIN:
        check_finite(vectors, "vectors")
        scales = largest_magnitudes(vectors, own)
        # A row is rounded apart from the center first, so the scale of a row has to suit both.
        scales = torch.maximum(scales, scales[-1])
        products = inner_products(vectors, own, order, scales=scales, has_last=has_origin)
        _check_range(products)
    elif _is_own_apart(products) and _has_longer_type(vectors):
        products = inner_products(
            vectors, own, order, scales=None, has_last=has_origin, dtype=torch.float64
        )
    rows = _rows_in_order(order, len(vectors) + 1)
    rows[:, -1] = 1.0  # a row is its difference from the center, and the center
    return Geometry(
        products=products,
        rows=rows,
        own=_last(rows) if own is not None else None,
        has_origin=has_origin,
        places=_places(order),
    )


def measure_about_origin(
    vectors: Tensor, own: Tensor | None, order: Sequence[int] | None = None
) -> Geometry:
    """Measure rows about the zero vector, for their lengths and the angles between them.

    `measure` finds the length of a row as the difference of two longer ones. Of a row a thousand
    times shorter than the center nothing is left then, and whoever is scaled up to a given length
    may end up with any.

    Args:
        vectors: As in `measure`.
        own: As in `measure`.
        order: As in `measure`.

    Returns:
        Their geometry; the base vectors are the rows and the own vector. Distances between rows
        far from zero have no digits in it.

    Raises:
        InfeasibleError: If the square of a length is beyond the range of float64.

    Cost: As `measure`, and one more pass if a row is so short that its squares would be lost.
    """
    order = range(len(vectors)) if order is None else order
    products = inner_products(vectors, own, order, scales=None, is_centered=False)
    squares = products.diagonal() if own is not None else products.diagonal()[:-1]
    if not _is_finite(products) or float(squares.min()) < _SQUARE_MIN:
        check_finite(vectors, "vectors")
        scales = largest_magnitudes(vectors, own)
        products = inner_products(vectors, own, order, scales=scales, is_centered=False)
        _check_range(products)
    rows = _rows_in_order(order, len(vectors) + 1)
    return Geometry(
        products=products,
        rows=rows,
        own=_last(rows) if own is not None else None,
        places=_places(order),
    )


def from_gram(gram: Tensor, own_row: int | None, order: Sequence[int] | None = None) -> Geometry:
    """Take inner products that somebody else measured.

    Args:
        gram: Shape (n, n), float64, on the CPU.
        own_row: Which of the rows is the own vector, or None.
        order: As in `measure`.
    """
    order = range(len(gram)) if order is None else order
    index = torch.tensor(list(order))
    rows = _rows_in_order(order, len(order))
    own = None if own_row is None else rows[own_row]
    return Geometry(products=gram[index][:, index], rows=rows, own=own, places=_places(order))


def _places(order: Sequence[int]) -> Tensor:
    """Return which base vector each row is, the base being in `order`."""
    return torch.tensor(list(order)).argsort()


def _rows_in_order(order: Sequence[int], base_count: int) -> Tensor:
    """Return the combinations of base vectors that are the rows, the base being in `order`."""
    rows = torch.zeros(len(order), base_count, dtype=torch.float64)
    rows[torch.arange(len(order)), _places(order)] = 1.0
    return rows


def _last(rows: Tensor) -> Tensor:
    own = torch.zeros(rows.shape[1], dtype=torch.float64)
    own[-1] = 1.0
    return own


def _is_own_apart(products: Tensor) -> bool:
    """Tell whether most rows have half of the rows far nearer to them than own.

    So it is for a newcomer. The distances between the others are then small differences of large
    numbers, of which float32 has no digits left. A minority of liars cannot bring that about.
    """
    among_rows = products[:-1, :-1]
    squares = among_rows.diagonal()
    distances = squares + squares[:, None] - 2.0 * among_rows
    middle = distances.sort(dim=1).values[:, len(squares) // 2]
    return 2 * int((middle < _APART * squares).sum()) > len(squares)


def _has_longer_type(vectors: Tensor) -> bool:
    return vectors.dtype != torch.float64 and not vectors.is_mps  # which has none


def _is_finite(products: Tensor) -> bool:
    return bool(torch.isfinite(products).all())


def _check_range(products: Tensor) -> None:
    if not _is_finite(products):
        raise InfeasibleError("distances between the rows are beyond the range of float64")
