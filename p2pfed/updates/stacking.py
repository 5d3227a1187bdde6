"""Sums of low-rank changes of different ranks, exact, and made small again.

Nothing here makes a matrix of a weight's own size; `closest` is given one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.errors import LocalError

_SAMPLES_MORE: Final = 8  # Halko et al., sec. 4.2: 5 or 10 make a failure unlikely
_POWERS: Final = 2  # the same, sec. 4.5: enough where singular values decay slowly


@final
@dataclass(frozen=True, slots=True, eq=False)
class LowRankChange:
    """The change B A of a weight; a scale such as alpha / rank is part of B.

    Attributes:
        left: B, shape (rows, rank).
        right: A, shape (rank, columns), type and device of B.

    Raises:
        LocalError: If the shapes do not fit.
    """

    left: Tensor
    right: Tensor

    def __post_init__(self) -> None:
        is_product = self.left.ndim == self.right.ndim == 2
        if not is_product or self.left.shape[1] != self.right.shape[0]:
            shapes = f"{tuple(self.left.shape)} and {tuple(self.right.shape)}"
            raise LocalError(f"factors of shapes {shapes}: expected (rows, rank), (rank, columns)")

    @property
    def rank(self) -> int:
        """The columns of B: no less than the rank of the product."""
        return self.left.shape[1]

    def product(self) -> Tensor:
        """Compute B A, shape (rows, columns)."""
        return self.left @ self.right


def stack(changes: Sequence[LowRankChange], weights: Sequence[float]) -> LowRankChange:
    """Return the weighted sum of changes, of whatever ranks, as one of the sum of their ranks.

    [B_1 B_2 ...] [p_1 A_1; p_2 A_2; ...] = p_1 B_1 A_1 + p_2 B_2 A_2 + ...: nothing is lost, as it
    is where factors are padded with zeros and averaged.

    Args:
        changes: Of one weight, at least one.
        weights: One each.

    Raises:
        LocalError: If there are none, or not as many weights, or they are of different weights.

    Source: Wang et al. 2024, "FLoRA: federated fine-tuning large language models with heterogeneous
        low-rank adaptations".
    """
    sizes = {(change.left.shape[0], change.right.shape[1]) for change in changes}
    if len(sizes) != 1 or len(weights) != len(changes):
        raise LocalError(
            f"{len(changes)} changes of sizes {sorted(sizes)} and {len(weights)} weights: expected "
            "changes of one size, and a weight for each"
        )
    return LowRankChange(
        torch.cat([change.left for change in changes], dim=1),
        torch.cat([p * it.right for p, it in zip(weights, changes, strict=True)], dim=0),
    )


def compact(change: LowRankChange, rank: int) -> LowRankChange:
    """Return the closest change of a smaller rank: the truncated singular value decomposition.

    With B = Q_b R_b and A^T = Q_a R_a, the singular values of B A are those of the small
    R_b R_a^T. Each factor gets the root of them, so that neither dwarfs the other.

    Args:
        change: Of any rank.
        rank: At least 1; larger than that of the product changes nothing but the factors.

    Returns:
        Of the smallest of `rank`, the change's, its rows and its columns.

    Raises:
        LocalError: If the rank is below 1.

    Cost: O((rows + columns) r^2 + r^3) time for the change's own rank r, in float64.
    """
    if rank < 1:
        raise LocalError(f"rank {rank}: a change has at least rank 1")
    left_turn, left_core = torch.linalg.qr(change.left.double())
    right_turn, right_core = torch.linalg.qr(change.right.double().T)
    left, values, right = torch.linalg.svd(left_core @ right_core.T, full_matrices=False)
    roots = values[:rank].sqrt()
    return LowRankChange(
        (left_turn @ left[:, :rank] * roots).to(change.left.dtype),
        (roots[:, None] * right[:rank] @ right_turn.T).to(change.right.dtype),
    )


def closest(matrix: Tensor, rank: int) -> LowRankChange:
    """Return the change of a rank that is close to a matrix, of the closest there is.

    Where the matrix is much larger than the rank, its range is found by some random vectors that
    are multiplied with it a few times.

    Args:
        matrix: Shape (rows, columns).
        rank: At least 1.

    Source: Halko, Martinsson, Tropp 2011, "Finding structure with randomness", alg. 4.4 and 5.1.
    Cost: O(rows columns rank) time, in float64.
    """
    wide = matrix.detach().double().cpu()
    sample_count = rank + _SAMPLES_MORE
    if 2 * sample_count < min(wide.shape):
        generator = torch.Generator().manual_seed(rank)  # any: only the author computes this
        samples = torch.randn(wide.shape[1], sample_count, dtype=torch.float64, generator=generator)
        turn = torch.linalg.qr(wide @ samples).Q
        for _ in range(_POWERS):
            turn = torch.linalg.qr(wide @ torch.linalg.qr(wide.T @ turn).Q).Q
    else:
        turn = torch.eye(wide.shape[0], dtype=torch.float64)
    return compact(LowRankChange(turn, turn.T @ wide), rank)
