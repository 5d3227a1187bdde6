"""Gossip in which a neighbor can pull only so far."""

import math
from dataclasses import dataclass
from typing import final

from typing_extensions import override

from robust.errors import RuleError
from robust.inputs import Inputs
from robust.lengths import clip_ratio, distances_to_own
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCenteredClipping(SpanRule):
    """Move towards each row by its weight, but by no more than a radius: ClippedGossip.

    x_i + sum_j W_ij clip(x_j - x_i, tau), where clip(v, tau) = v min(1, tau / |v|) and x_i is
    `own`. A liar moves the result by at most W_ij tau. With a given `radius`, the own vector stays
    within it even among liars only; without one, more than f of them set tau themselves.

    `own` is required; where it also stands among the rows, that row is at distance 0 and pulls
    nowhere. `weights` are the W_ij. With `gram`, distances are taken from it, and `own` has to be
    among the rows; take the products of rows minus `own`, or rows far from 0 lose all digits.

    Args:
        byzantine_count: The paper's count of lying neighbors, f. Needs f < n. If it is every
            neighbor, the result is `own` without a `radius`.
        radius: tau, in the unit of the vectors, at least 0; infinity is plain gossip. If left out,
            the (f + 1)-th largest distance of a row, so that one honest neighbor at least sets it.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0 or `radius` is negative or NaN.

    Source: He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via
        ClippedGossip", the ClippedGossip update.
    Differs: the radius that the paper proves a rate for needs variances that no peer knows; the
        rank of a distance stands in for it.
    Cost: O(n d) time in two passes, one block beyond the result in memory.
    """

    byzantine_count: int
    radius: float | None = None

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        if self.radius is not None and not self.radius >= 0.0:
            raise RuleError(f"radius={self.radius} is not a distance >= 0")

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows of which the own one is honest: f + 1."""
        return self.byzantine_count + 1

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        distances = distances_to_own(inputs)
        radius = self.radius
        if radius is None:
            radius = sorted(distances, reverse=True)[self.byzantine_count]
        shares = tuple(
            weight * clip_ratio(length, radius)
            for weight, length in zip(inputs.weights, distances, strict=True)
        )
        return Shares(shares, own=1.0 - math.fsum(shares))
