"""Integrations of many peers at once, where nothing is to be rejected and the rule allows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import torch
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
_LENGTH_MAX: Final = 1e18  # squares are far from the end of float32
BLOCK_BYTES: Final = 1 << 21  # guess: what a block and a copy need stays in the cache


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdRule:
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

    def are_ordinary(self, lengths: Tensor) -> Tensor:
        """Return at whom no row is too long, shape (k,).

        Args:
            lengths: Of each peer's rows, the own one among them, shape (n, k).
        """
        are_ordinary = (lengths < _LENGTH_MAX).all(dim=0)  # NaN is not
        if self.norm_cap_ratio is None:
            return are_ordinary
        ordered = lengths.sort(dim=0).values
        middle = len(lengths) // 2
        median = (ordered[middle] + ordered[(len(lengths) - 1) // 2]) / 2
        cap = self.norm_cap_ratio * (1.0 - _LENGTH_MARGIN) * median
        return are_ordinary & ((ordered[-1] <= cap) | (ordered[-1] == 0.0))

    def cut(self, row_count: int) -> int:
        """Count the values at each end of a coordinate that have no part in the result."""
        if self.is_mean:
            return 0
        if self.rule.endswith("median"):
            return (row_count - 1) // 2
        return self._byzantine_count(row_count)

    def integrate(self, rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the peers' next rows, shape (k, d), and what each row contributed, shape (n, k).

        Rows that do not belong to ordinary peers lead to anything.

        Args:
            rows: Of k peers, the own one first, shape (n, k, d).
            weights: Of the rows, shape (n, k), float64, with sums of 1; the mean alone reads them.
        """
        if self.is_mean:
            return _weighed(rows, weights), weights
        if not self.rule.startswith(_MIXED):
            return self._middle(rows)
        mixing = self._nearest(rows)  # (k, n, n)
        mixed = torch.bmm(mixing.to(rows.dtype), rows.transpose(0, 1))  # (k, n, d)
        vectors, shares = self._middle(mixed.transpose(0, 1).contiguous())
        return vectors, torch.einsum("ik,kij->jk", shares, mixing)

    def vectors(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Return the next rows alone, of a rule without pre-aggregation; see `integrate`."""
        if self.is_mean:
            return _weighed(rows, weights)
        return _mean(sort_middle(rows.flatten(1).clone(), self.cut(len(rows)))).view_as(rows[0])

    def _byzantine_count(self, row_count: int) -> int:
        return min(robust.byzantine_count(row_count, self.beta_max), (row_count - 1) // 2)

    def _middle(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        flat, cut = rows.flatten(1), self.cut(len(rows))
        middle = sort_middle(flat.clone(), cut)
        run = Run(cut, len(middle), middle[0], middle[-1])
        kept = kept_values_in_parts(flat, run, rows.shape[1])  # (n, k)
        return _mean(middle).view_as(rows[0]), kept / (len(middle) * rows.shape[2])

    def _nearest(self, rows: Tensor) -> Tensor:
        """Return the mixing of nearest rows at each peer, shape (k, n, n), float64."""
        from_own = (rows - rows[0]).transpose(0, 1).double()  # (k, n, d)
        gram = torch.bmm(from_own, from_own.transpose(1, 2))
        squares = gram.diagonal(dim1=1, dim2=2)
        distances = squares[:, :, None] + squares[:, None, :] - 2.0 * gram
        count = self._byzantine_count(len(rows))
        distances = distances.clamp_min_(0.0)
        return nearest_mixing(distances, byzantine_count=count, dtype=rows.dtype)


def can_integrate(rule: object) -> bool:
    """Tell whether there is a `CrowdRule` of a rule's name."""
    if not isinstance(rule, str):
        return False
    return rule == "mean" or rule.removeprefix(_MIXED) in _BY_COORDINATE


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
