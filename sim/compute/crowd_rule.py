"""Integrations of many peers at once, where the rule allows it."""

import math
from collections.abc import Sequence
from typing import Final, final

import torch
from msgspec import Struct
from torch import Tensor

import robust
from robust.integrator import Integrator
from robust.pre_aggregation.nearest_neighbor_mixing import nearest_mixing
from robust.sorted_runs import Run, kept_values_in_parts
from robust.sorting_network import sort_middle

_MIXED: Final = "nnm+"
_BY_COORDINATE: Final = frozenset({"median", "trimmed-mean"})
# `robust.Integrator` decides about lengths that are as near to its bounds as rounding.
_LENGTH_MARGIN: Final = 1e-4
# Squares are far from the ends of float32.
_LENGTH_MIN: Final = 1e-15
_LENGTH_MAX: Final = 1e18
BLOCK_BYTES: Final = 1 << 21  # guess: what a block and a copy need stays in the cache


@final
class CrowdRule(Struct, frozen=True, kw_only=True):
    """What `robust.Integrator` makes of rows that it uses, for peers with as many neighbors.

    Attributes:
        rule: A name for which `can_integrate` says yes.
        beta_max: As of the integrator.
        norm_cap_ratio: As of the integrator.
    """

    rule: str
    beta_max: float
    norm_cap_ratio: float | None

    @classmethod
    def of(cls, integrator: Integrator) -> "CrowdRule":
        """Return what has an integrator's rule and bounds; `can_integrate` says yes to the rule."""
        return cls(
            rule=str(integrator.rule),
            beta_max=integrator.beta_max,
            norm_cap_ratio=integrator.norm_cap_ratio,
        )

    @property
    def is_mean(self) -> bool:
        """Whether weights say what rows count."""
        return self.rule == "mean"

    @property
    def is_mixed(self) -> bool:
        """Whether rows are mixed with their nearest ones first."""
        return self.rule.startswith(_MIXED)

    def are_ordinary(self, lengths: Tensor) -> Tensor:
        """Return at whom no row is rejected, shape (k,).

        Args:
            lengths: Of each peer's rows, the own one first, shape (n, k), as `measure_lengths` has
                them, but of those that are not finite.
        """
        is_used, is_sure = self.sift(lengths)
        return is_used.all(dim=0) & is_sure

    def sift(self, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows are not rejected, shape (n, k), and at whom this is sure, shape (k,).

        Args:
            lengths: Of each peer's rows, the own one first, shape (n, k), by `measure_lengths`.
        """
        is_used = ~lengths.isnan()
        # Without other rows it is for the integrator to say what becomes of the own one.
        is_sure = lengths[0] < _LENGTH_MAX
        if self.norm_cap_ratio is None:
            is_sure &= ~(lengths >= _LENGTH_MAX).any(dim=0)
        else:
            ordered = lengths.sort(dim=0).values  # NaN comes last
            last = is_used.sum(dim=0, keepdim=True) - 1
            middle = [ordered.gather(0, it.clamp_min(0)) for it in (last // 2, (last + 1) // 2)]
            median = (middle[0] + middle[1])[0] / 2
            cap = self.norm_cap_ratio * median
            is_near = (lengths - cap).abs() <= _LENGTH_MARGIN * cap
            is_sure &= (median > _LENGTH_MIN) & (cap < _LENGTH_MAX / 2) & ~is_near.any(dim=0)
            is_sure |= (lengths == 0.0).all(dim=0)
            is_used &= lengths <= cap
            is_used[0] = True
        return is_used, is_sure & is_used[1:].any(dim=0)

    def cut(self, row_count: int, rejected_count: int = 0) -> int:
        """Count the values at each end of a coordinate that have no part in the result.

        Args:
            row_count: Rows that are used, the own one included.
            rejected_count: Others that were sent.
        """
        if self.is_mean:
            return 0
        if self.rule.endswith("median"):
            return (row_count - 1) // 2
        return self._byzantine_count(row_count, rejected_count)

    def integrate(
        self, rows: Tensor, weights: Tensor, *, rejected_count: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return the peers' next rows, shape (k, d), and what each row contributed, shape (n, k).

        Rows that the integrator would reject lead to anything.

        Args:
            rows: Of k peers, the own one first, shape (n, k, d).
            weights: Of the rows, shape (n, k), float64, with sums of 1; the mean alone reads them.
            rejected_count: How many others were sent to each.
        """
        if self.is_mean:
            return _weighed(rows, weights), weights
        cut = self.cut(len(rows), rejected_count)
        if not self.is_mixed:
            return _middle(rows, cut)
        mixing = _nearest(rows, self._byzantine_count(len(rows), rejected_count))  # (k, n, n)
        mixed = torch.bmm(mixing.to(rows.dtype), rows.transpose(0, 1))  # (k, n, d)
        vectors, shares = _middle(mixed.transpose(0, 1).contiguous(), cut)
        return vectors, torch.einsum("ik,kij->jk", shares, mixing)

    def vectors(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Return the next rows alone, of a rule that is not `is_mixed`; see `integrate`."""
        if self.is_mean:
            return _weighed(rows, weights)
        return _mean(sort_middle(rows.flatten(1).clone(), self.cut(len(rows)))).view_as(rows[0])

    def _byzantine_count(self, row_count: int, rejected_count: int) -> int:
        expected = robust.byzantine_count(row_count + rejected_count, self.beta_max)
        return min(expected, (row_count - 1) // 2)


def can_integrate(rule: object) -> bool:
    """Tell whether there is a `CrowdRule` of a rule's name."""
    if not isinstance(rule, str):
        return False
    return rule == "mean" or rule.removeprefix(_MIXED) in _BY_COORDINATE


def measure_lengths(rows: Tensor) -> Tensor:
    """Return Euclidean lengths, infinite where they are too long for float32, NaN without one.

    Args:
        rows: Shape (..., d), float32.
    """
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    is_wild = ~(lengths < _LENGTH_MAX)
    if bool(is_wild.any()):
        is_finite = torch.isfinite(rows[is_wild]).all(dim=-1)
        lengths[is_wild] = torch.where(is_finite, math.inf, math.nan)
    return lengths


def _middle(rows: Tensor, cut: int) -> tuple[Tensor, Tensor]:
    flat = rows.flatten(1)
    middle = sort_middle(flat.clone(), cut)
    run = Run(cut, len(middle), middle[0], middle[-1])
    kept = kept_values_in_parts(flat, run, rows.shape[1])  # (n, k)
    return _mean(middle).view_as(rows[0]), kept / (len(middle) * rows.shape[2])


def _nearest(rows: Tensor, byzantine_count: int) -> Tensor:
    """Return the mixing of nearest rows at each peer, shape (k, n, n), float64."""
    from_own = (rows - rows[0]).transpose(0, 1).double()  # (k, n, d)
    gram = torch.bmm(from_own, from_own.transpose(1, 2))
    squares = gram.diagonal(dim1=1, dim2=2)
    distances = squares[:, :, None] + squares[:, None, :] - 2.0 * gram
    distances = distances.clamp_min_(0.0)
    return nearest_mixing(distances, byzantine_count=byzantine_count, dtype=rows.dtype)


def _weighed(rows: Tensor, weights: Tensor) -> Tensor:
    shares = weights.to(rows.dtype)[:, :, None]
    result = rows[0] * shares[0]
    for row, share in zip(rows[1:], shares[1:], strict=True):
        result += row * share
    return result


def _mean(middle: Sequence[Tensor]) -> Tensor:
    """Average as `robust`'s rules by coordinate do."""
    share = 1.0 / len(middle)
    mean = middle[0] * share
    for values in middle[1:]:
        mean += values * share
    return mean.add_(0.0)  # no -0.0
