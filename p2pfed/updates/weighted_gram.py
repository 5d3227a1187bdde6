"""Lengths and distances of updates that stand between fixed matrices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.updates.specification import ParameterSpecification


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """What makes the inner product of two parameters X and Y that of B X A and B Y A.

    It is tr(X^T left Y right), with left = B^T B and right = A A^T.

    Attributes:
        left: Shape (rows, rows), float64, symmetric; None for the identity.
        right: Shape (columns, columns), float64, symmetric; None for the identity.
    """

    left: Tensor | None = None
    right: Tensor | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class WeightedGeometry:
    """Measures the updates of a run in which what travels acts through matrices that all share.

    It is linear, so that it needs no initial vector. A parameter without a metric counts with its
    own difference.

    Attributes:
        specification: Of the vectors.
        metrics: By name of the parameter; each is a matrix.
    """

    specification: ParameterSpecification
    metrics: Mapping[str, Metric]

    def __call__(self, differences: Tensor) -> Tensor:
        """Compute the inner products of updates.

        Args:
            differences: Shape (n, d), from the initial vector.

        Returns:
            Shape (n, n), float64.

        Cost: O(n d (n + rank)) time and O(n m) memory for m values in the largest parameter.
        """
        count = len(differences)
        gram = torch.zeros(count, count, dtype=torch.float64, device=differences.device)
        pieces = differences.split([entry.size for entry in self.specification.entries], dim=1)
        for entry, piece in zip(self.specification.entries, pieces, strict=True):
            values = piece.double()
            metric = self.metrics.get(entry.name)
            if metric is None:
                gram += values @ values.T
            else:
                part = values @ _weigh(values.view(count, *entry.shape), metric).T
                gram += (part + part.T) / 2  # rounding would leave it not quite symmetric
        return gram


def _weigh(values: Tensor, metric: Metric) -> Tensor:
    """Return left X right for each of n matrices, shape (n, values)."""
    if metric.left is not None:
        values = metric.left.to(values.device) @ values
    if metric.right is not None:
        values = values @ metric.right.to(values.device)
    return values.reshape(len(values), -1)
