"""Gossip with neighbors that are close and do at least as well on the own data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

from torch import Tensor
from typing_extensions import override

from robust.errors import InputError, RuleError
from robust.evaluation import Evaluate
from robust.inputs import Inputs
from robust.lengths import distances_to_own
from robust.neighbors import find_equal_rows, find_own_rows, share_among_equals
from robust.parameters import read_numbers
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count

# 0.29 * 100 is 28.999999999999996; shares of a few hundred rows round by less than this.
_FLOOR_SLACK: Final = 1e-9


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ubar(SpanRule):
    """Average own with the mean of neighbors that pass two tests: UBAR, first called MOZI.

    First the floor(rho |N|) neighbors nearest to `own` are picked, at least one; of these, the ones
    stay that score at least as well as `own` does on own data, by the mean over the shards. The
    result is alpha x_i + (1 - alpha) mean of them. If none stays, it is `own`, or with
    `fallback="nearest"` the nearest neighbor takes their place, which an attacker can be.

    `evaluate` is called for `own` and for each row picked, on new memory, with vectors as they
    were handed in: whoever hands in drifts from a start adds the start. A score that is not a
    number counts as the worst.

    `own` is required; where it also stands among the rows, that row is not a neighbor's. Every
    neighbor has one vote: `weights` are ignored, and `keys` break ties of distance. With `gram`,
    distances are taken from it, and `own` has to be among the rows. Behind a pre-aggregation, all
    rows are neighbors'.

    Args:
        evaluate: Scores a vector on a batch of the own data; within one call of the rule, the same
            batch each time.
        byzantine_count: Taken so that every rule can be made alike; see `neighbor_share`.
        neighbor_share: rho, above 0 and at most 1: no more than the share of honest neighbors.
        own_share: alpha, from 0 to 1.
        fallback: What stands for the mean if no neighbor does as well as `own`: "own" itself, or
            the "nearest" neighbor.

    Raises:
        RuleError: If a parameter is out of range.

    Source: Guo et al. 2021, "Byzantine-resilient decentralized stochastic gradient descent", its
        two stages.
    Differs: the gradient step that follows is the training's; scores, larger for better, in place
        of losses.
    Cost: O(n d) time in two passes, rho |N| + 1 evaluations, one vector beyond the result in
        memory.
    """

    evaluate: Evaluate
    byzantine_count: int = 0
    neighbor_share: float = 0.4  # this and the next: the values in a public implementation
    own_share: float = 0.5
    fallback: Literal["own", "nearest"] = "own"

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        if not 0.0 < self.neighbor_share <= 1.0:
            raise RuleError(f"neighbor_share={self.neighbor_share} is not in (0, 1]")
        if not 0.0 <= self.own_share <= 1.0:
            raise RuleError(f"own_share={self.own_share} is not in [0, 1]")
        if self.fallback not in ("own", "nearest"):
            raise RuleError(f"fallback={self.fallback!r} is neither 'own' nor 'nearest'")

    @property
    @override
    def rows_min(self) -> int:
        """One: without neighbors, own is kept."""
        return 1

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        distances = distances_to_own(inputs)
        own_row = find_own_rows(inputs)[:1]
        neighbors = [row for row in inputs.order if row not in own_row]
        neighbors.sort(key=distances.__getitem__)  # stable, so ties stay in the order of the keys
        count = max(1, math.floor(self.neighbor_share * len(neighbors) + _FLOOR_SLACK))
        kept = self._keep_good(inputs, neighbors[:count])
        if not kept and self.fallback == "nearest":
            kept = neighbors[:1]
        shares: Sequence[float] = [
            (1.0 - self.own_share) / len(kept) if row in kept else 0.0
            for row in range(inputs.row_count)
        ]
        for group in find_equal_rows(inputs, distances):
            shares = share_among_equals(shares, group)
        return Shares(tuple(shares), own=1.0 - math.fsum(shares))

    def _keep_good(self, inputs: Inputs, rows: list[int]) -> list[int]:
        if not rows:
            return []
        own_scores = self._scores(inputs.required_own().clone())
        if not own_scores or not all(0.0 <= score <= 1.0 for score in own_scores):
            raise InputError(f"evaluate gave own {own_scores}; at least one score, each in [0, 1]")
        bar = math.fsum(own_scores)
        kept = []
        for row in rows:
            choice = [float(other == row) for other in range(inputs.row_count)]
            scores = self._scores(inputs.combine(choice))  # unnamed, so that one is held at a time
            if len(scores) != len(own_scores):
                raise InputError(
                    f"evaluate gave {len(scores)} scores, and {len(own_scores)} for own"
                )
            if math.fsum(_bounded(score) for score in scores) >= bar:
                kept.append(row)
        return kept

    def _scores(self, vector: Tensor) -> list[float]:
        return read_numbers(self.evaluate(vector), "evaluate gave")


def _bounded(score: float) -> float:
    """Return a score in [0, 1]: what a peer sent must not be able to raise by how it scores."""
    return 0.0 if math.isnan(score) else min(max(score, 0.0), 1.0)
