"""The inner products of drifts that the caller measures, of which hostile rows may have none."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from robust.errors import InfeasibleError
from robust.inputs import check_gram

# Sums over any number of rows of squares of twice the length are in the range of float64.
LENGTH_MAX: Final = 2.0**500


@final
@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """The inner products of the own drift and of those of all rows that can be compared.

    Attributes:
        matrix: Shape (n, n), float64, on the CPU, symmetric; own is first.
        places: Where each row is, by peer key; own's is b"".
    """

    matrix: Tensor
    places: Mapping[bytes, int]

    def find_wild(self) -> set[bytes]:
        """Name the peers whose rows have no usable length, or no product with the own row.

        Nobody, if the own row has no such length: whose fault it is cannot be told then.
        """
        squares = self.matrix.diagonal()
        is_wild = ~(squares <= LENGTH_MAX**2) | ~torch.isfinite(self.matrix[0])
        if bool(is_wild[0]):
            return set()
        return {key for key, place in self.places.items() if is_wild[place]}

    def lengths(self) -> dict[bytes, float]:
        """Return what is the length of each row by these products, by peer key, own's at b""."""
        roots = self.matrix.diagonal().sqrt()
        return {key: float(roots[place]) for key, place in self.places.items()}

    def distances(self) -> dict[bytes, float]:
        """Return how far each row is from the own one by these products, by peer key."""
        squares = self.matrix.diagonal() - 2.0 * self.matrix[0] + self.matrix[0, 0]
        # Of what is beyond float64 nothing is known but that it is far.
        roots = squares.clamp_min(0.0).nan_to_num(nan=math.inf, posinf=math.inf).sqrt()
        return {key: float(roots[place]) for key, place in self.places.items()}

    def of(self, keys: Sequence[bytes]) -> Tensor:
        """Return the inner products of the own row and some others, own first.

        Raises:
            InfeasibleError: If one is beyond what distances can be computed from.
        """
        index = torch.tensor([0, *(self.places[key] for key in keys)])
        chosen = self.matrix[index][:, index]
        if not bool((chosen.abs() <= LENGTH_MAX**2).all()):
            raise InfeasibleError("inner products by gram= are beyond the range of float64")
        return chosen


def measure_products(
    gram: Callable[[Tensor], Tensor], drifts: Tensor, keys: Sequence[bytes]
) -> Products:
    """Ask the caller for the inner products of all drifts, once for all steps.

    Rounding of what a hostile row holds may be of any size: that it leaves products asymmetric, or
    squares below 0, is not the caller's fault, and is taken out here.

    Args:
        gram: As in `Integrator`.
        drifts: Shape (n, d), own first.
        keys: The peer keys of the others.

    Raises:
        InputError: If what `gram` returns is no real matrix of shape (n, n).
    """
    matrix = check_gram(gram(drifts), len(drifts))
    matrix = matrix / 2.0 + matrix.T / 2.0
    diagonal = matrix.diagonal()
    diagonal.copy_(diagonal.clamp_min(0.0))
    return Products(matrix, {key: place for place, key in enumerate([b"", *keys])})
