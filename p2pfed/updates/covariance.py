"""What averaging both factors of low-rank updates loses, and how much of it one factor regains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.updates.specification import ParameterSpecification


def ridge_correction(
    lefts: Tensor, rights: Tensor, weights: Tensor, *, left: Tensor, right: Tensor, ridge: float
) -> Tensor:
    """Find what to add to B so that B A comes closer to the average of the products.

    The average of the products of n peers is the product of their average factors plus the
    covariance C = sum_i p_i (B_i - B)(A_i - A). This minimizes |C - dB A|^2 + ridge |dB|^2: at
    dB = 0 that is the error of plain averaging, so what is left of C is never larger. About other
    factors than the average ones C is not what their product lacks: see `residual_gain`.

    Args:
        lefts: The B_i, shape (n, rows, rank).
        rights: The A_i, shape (n, rank, columns).
        weights: The p_i, shape (n,), at least 0, of sum 1.
        left: B, shape (rows, rank).
        right: A, shape (rank, columns).
        ridge: Above 0: keeps dB small where A says little.

    Returns:
        dB, shape (rows, rank), float64; 0 where numbers are so large that the ridge is rounded
        away. No matrix of shape (rows, columns) is made.

    Source: Bian et al. 2024, "LoRA-FAIR: federated LoRA fine-tuning with aggregation and
        initialization refinement".
    Differs: the closed form of a ridge regression instead of steps of SGD on a cosine; and each
        peer applies it to its neighborhood, as there is no server.
    Cost: O(n rank (rows + columns) rank + rank^3) time.
    """
    mean_right = right.double()
    left_drifts = lefts.double() - left.double()
    right_drifts = (rights.double() - mean_right) @ mean_right.T  # (n, rank, rank)
    target = torch.einsum("n,nor,nrs->os", weights.double(), left_drifts, right_drifts)
    system = mean_right @ mean_right.T + ridge * torch.eye(len(mean_right)).to(mean_right)
    solved, problem = torch.linalg.solve_ex(system, target.T)  # the system is symmetric
    change: Tensor = solved.T
    return torch.zeros_like(change) if bool(problem) else change


def residual_gain(
    lefts: Tensor, rights: Tensor, weights: Tensor, *, left: Tensor, right: Tensor, change: Tensor
) -> float:
    """Measure by how much a change of B brings B A closer to the average of the products.

    Args:
        lefts: The B_i, shape (n, rows, rank).
        rights: The A_i, shape (n, rank, columns).
        weights: The p_i, shape (n,), at least 0, of sum 1.
        left: B, shape (rows, rank).
        right: A, shape (rank, columns).
        change: dB, shape (rows, rank), float64.

    Returns:
        |W - B A|^2 - |W - (B + dB) A|^2 with W = sum_i p_i B_i A_i, from products of the thin
        factors only; NaN where numbers are beyond all range.
    """
    mean_right = right.double()
    square = mean_right @ mean_right.T
    reached = torch.einsum(
        "n,nor,nrs->os", weights.double(), lefts.double(), rights.double() @ mean_right.T
    )
    lacking = reached - left.double() @ square
    return float((change * (2.0 * lacking - change @ square)).sum())


@final
@dataclass(frozen=True, slots=True, eq=False)
class CovarianceCorrection:
    """Applies `ridge_correction` to what a peer mixed, where that helps.

    A robust rule has limited what each row can do to the mixed vector, and products could undo
    that: the covariance is taken about the mixed factors, and no B moves further than the median
    row's is away from it. Where peers agree as far as training lets them, that is no limit: the
    correction is of second order in how far apart they are.

    A mean of the rows gets closer to the mean of their products by it, always. What other rules,
    such as a median, make of the rows can get further away from it: such a B stays as it is.

    Attributes:
        specification: Of the vectors.
        pairs: Name of each B to the name of its A.
        ridge: As of `ridge_correction`.
    """

    specification: ParameterSpecification
    pairs: Mapping[str, str]
    ridge: float

    def __call__(self, rows: Tensor, weights: Tensor, mixed: Tensor) -> Tensor:
        """Correct a mixed vector.

        Args:
            rows: The vectors that were mixed, the own one among them, shape (n, d), finite.
            weights: Their shares, shape (n,), at least 0, of sum 1.
            mixed: What came out, shape (d,).

        Returns:
            Shape (d,), newly allocated; equal to `mixed` where numbers are beyond all range.
        """
        tensors = [self.specification.unflatten(row) for row in rows]
        corrected = self.specification.unflatten(mixed.clone())
        for names in sorted(self.pairs.items()):
            lefts, rights = (torch.stack([each[name] for each in tensors]) for name in names)
            left, right = (corrected[name] for name in names)
            change = ridge_correction(
                lefts, rights, weights, left=left, right=right, ridge=self.ridge
            )
            distances = (lefts.double() - left.double()).flatten(1).norm(dim=1)
            length = float(change.norm())
            if length > 0.0:
                change *= min(1.0, float(distances.median()) / length)
            gain = residual_gain(lefts, rights, weights, left=left, right=right, change=change)
            if gain > 0.0:
                left.add_(change.to(left.dtype))
        vector = self.specification.flatten(corrected)
        return vector if bool(torch.isfinite(vector).all()) else mixed.clone()
