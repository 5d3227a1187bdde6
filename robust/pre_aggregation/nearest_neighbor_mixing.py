"""Replace each row by the mean of its nearest rows, which takes the lonely liars out of them."""

from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.blocks import accumulator
from robust.inputs import Inputs
from robust.pre_aggregation.step import PreAggregation
from robust.tolerance import check_byzantine_count

# Squared distances that differ by less than this many units of rounding are the same. A guess:
# sums over a block round to a few units.
_TIE_UNITS: Final = 16.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NearestNeighborMixing(PreAggregation):
    """Replace each row by the mean of the n - f rows nearest to it, itself included: NNM.

    What was lost by heterogeneity is regained: whatever a rule F loses to f liars by its kappa,
    F behind NNM loses no more than 8 f / (n - f) (kappa + 1).

    Rows equally far away at the edge of a neighborhood share what is left of it, so that neither
    the order of the rows nor their names decide. `weights` are not used; a mean weighs the mean
    of its rows' weights. With `gram`, distances are taken from it.

    Args:
        byzantine_count: The paper's f. Needs 2 f < n.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Allouah et al. 2023, "Fixing by mixing: a recipe for optimal Byzantine ML under
        heterogeneity", nearest neighbor mixing.
    Differs: the paper breaks ties arbitrarily; here the mean over all ways to break them.
    Cost: O(n^2 d) time in one pass, and n^2 more products per coordinate in a coordinate-wise rule
        behind it; two blocks of n rows in memory.
    """

    byzantine_count: int

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows with an honest majority: 2 f + 1."""
        return 2 * self.byzantine_count + 1

    @override
    def mixing(self, inputs: Inputs) -> Tensor:
        """Give each row's n - f nearest rows an equal share."""
        distances = inputs.measure().squared_distances()
        return nearest_mixing(
            distances, byzantine_count=self.byzantine_count, dtype=inputs.vectors.dtype
        )


def nearest_mixing(distances: Tensor, *, byzantine_count: int, dtype: torch.dtype) -> Tensor:
    """Give each row's n - f nearest rows an equal share.

    Args:
        distances: Squared, of each row from each, shape (..., n, n), float64.
        byzantine_count: The f.
        dtype: Of the rows, by which distances are rounded.

    Returns:
        The mixing, of the shape of `distances`, float64.
    """
    kept_count = distances.shape[-1] - byzantine_count
    slack = _TIE_UNITS * torch.finfo(accumulator(dtype)).eps
    edge = distances.sort(dim=-1).values[..., kept_count - 1, None]  # (..., n, 1)
    is_inside = distances < edge * (1.0 - slack)
    is_edge = ~is_inside & (distances <= edge * (1.0 + slack))
    inside, at_edge = is_inside.to(torch.float64), is_edge.to(torch.float64)
    left_count = kept_count - inside.sum(dim=-1, keepdim=True)
    edge_share = left_count / at_edge.sum(dim=-1, keepdim=True)
    return (inside + at_edge * edge_share) / kept_count
