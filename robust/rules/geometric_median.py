"""Find the point from which all rows together are least far."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from torch import Tensor
from typing_extensions import override

from robust.geometry import Geometry
from robust.inputs import Inputs
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count

# In units of the distance within which half of the rows are of the best-placed row, which no
# minority sets: what counts as the same place, ...
_SMOOTHING: Final = 1e-6
# ... and the last step: a guess, 1 % of what float32 holds. Newton's steps take about eight to it.
_STEP_MIN: Final = 1e-9
# Weiszfeld's alone gain a digit in some ten steps where rows are spread about the median.
_STEPS_MAX: Final = 100
# What the pull on a row may be too strong for it to be the median, per row: float32's rounding of
# inner products.
_PULL_SLACK: Final = 1e-6


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricMedian(SpanRule):
    """Find the z with the smallest sum_j |z - x_j|, to convergence.

    Where a row is a median, the result is that row; where several are, as on a line with an even
    number of rows, it is their mean. Otherwise the median is unique and is walked to from `own`,
    or from the row with the smallest sum without it, until a step is shorter than 1e-9 of the
    honest rows' spread, in at most 100 steps. A step is Newton's where that lowers the sum more,
    Weiszfeld's otherwise, and Weiszfeld's at the end, which leaves positive shares that sum to 1.

    Every row has one vote: `weights` are ignored. `own` is where distances are measured from and
    where the walk begins, which changes the result by rounding only. With `gram`, distances are
    taken from it, and `own`, if given, has to be among the rows.

    Args:
        byzantine_count: The paper's f, which changes no result. Needs 2 f < n.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Weiszfeld 1937, "Sur le point pour lequel la somme des distances de n points donnes est
        minimum"; at the rows themselves, Vardi and Zhang 2000, "The multivariate L1-median and
        associated data depth"; as a rule, Pillutla, Kakade and Harchaoui 2022, "Robust aggregation
        for federated learning".
    Differs: the last smooths by a constant and stops after a few steps from zero; here the unit of
        the data is the scale of both, and the walk is one in the space of shares, not of vectors.
    Cost: O(n^2 d) time in two passes and O(n^3) per step; one block of n rows beyond the result in
        memory.
    """

    finds_wild_values: ClassVar[bool] = True

    byzantine_count: int

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows with an honest majority: 2 f + 1."""
        return 2 * self.byzantine_count + 1

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        geometry = inputs.measure().in_order(inputs.order)
        distances = geometry.squared_distances().sqrt()  # (n, n)
        scale = float(distances.sort(dim=1).values[:, inputs.row_count // 2].min())
        shares = _median_rows(geometry, distances, same=_SMOOTHING * scale)
        if shares is None:
            shares = _walk(geometry, distances, scale)
        return Shares(tuple(inputs.by_row(shares.tolist())))


def _median_rows(geometry: Geometry, distances: Tensor, *, same: float) -> Tensor | None:
    """Return equal shares of the rows that are a median, or None if none is.

    A row is one if the others' unit vectors from it sum to no more than the rows in its place.
    """
    row_count = len(distances)
    slack = _PULL_SLACK * row_count
    is_median = torch.zeros(row_count, dtype=torch.float64)
    for row, lengths in enumerate(distances):
        is_apart = lengths > same
        units = torch.where(is_apart, 1.0 / lengths, 0.0)
        # In these steps, for they round as `distances` did: what is far away pulls with 1, not 0.
        pull = float(units @ geometry.gram_about_row(row) @ units)
        held = row_count - int(is_apart.sum())
        is_median[row] = max(pull, 0.0) ** 0.5 <= held + slack
    count = is_median.sum()
    return is_median / count if float(count) else None


def _walk(geometry: Geometry, distances: Tensor, scale: float) -> Tensor:
    """Return the shares of the median, which is none of the rows."""
    row_count = len(distances)
    best = int(distances.sum(dim=1).argmin())
    # About a row that is not far from the median, so that no product swallows the others' digits.
    products = geometry.gram_about_row(best)
    lengths = distances[best]
    if geometry.own is not None:
        lengths = geometry.squared_distances_to_own().sqrt()
    same = _SMOOTHING * scale
    pulls = torch.where(lengths > same, 1.0 / lengths, 0.0)  # from a row, on to the others
    shares = pulls / pulls.sum()
    for _ in range(_STEPS_MAX):
        drifts = shares - torch.eye(row_count, dtype=torch.float64)  # z - x_j, in the rows' space
        lengths = _lengths(drifts, products).clamp_min(same)
        step = _weiszfeld(lengths) - shares
        newton = _newton(shares, drifts, lengths, products) - shares
        # Not a number, where the matrix had no inverse, is not less.
        if _change(newton, drifts, lengths, products) < _change(step, drifts, lengths, products):
            step = newton
        shares = shares + step
        if float(_lengths(step[None], products)) <= _STEP_MIN * scale:
            break
    drifts = shares - torch.eye(row_count, dtype=torch.float64)
    return _weiszfeld(_lengths(drifts, products).clamp_min(same))


def _weiszfeld(lengths: Tensor) -> Tensor:
    pulls = lengths.min() / lengths
    return pulls / pulls.sum()


def _newton(shares: Tensor, drifts: Tensor, lengths: Tensor, products: Tensor) -> Tensor:
    """Return the shares after one of Newton's steps.

    The gradient is U 1, where the columns of U are the unit vectors u_j = (z - x_j) / r_j, and the
    Hessian is b I - U D U^T, where D = diag(1 / r) and b is its trace. By Woodbury's identity the
    step is -U a with (b I - D U^T U) a = 1, of which no entry is larger than b.
    """
    pulls = 1.0 / lengths
    cosines = (drifts @ products @ drifts.T) * pulls * pulls[:, None]
    matrix = pulls.sum() * torch.eye(len(pulls), dtype=torch.float64) - pulls[:, None] * cosines
    ones = torch.ones_like(pulls)
    parts: Tensor = torch.linalg.solve_ex(matrix, ones).result * pulls  # a / r
    return shares * (1.0 - parts.sum()) + parts


def _change(step: Tensor, drifts: Tensor, lengths: Tensor, products: Tensor) -> float:
    """Compute by how much a step changes the sum of distances.

    From the differences of squares: the distance of a row far away has no digits for it.
    """
    after = _lengths(drifts + step, products)
    squares = (2.0 * drifts + step) @ products @ step
    return float((squares / (after + lengths)).sum())


def _lengths(drifts: Tensor, products: Tensor) -> Tensor:
    squares: Tensor = (drifts @ products * drifts).sum(dim=1)
    return squares.clamp_min(0.0).sqrt()
