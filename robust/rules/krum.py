"""Trust the rows that have the nearest neighbors: Krum and Multi-Krum."""

from dataclasses import dataclass
from typing import ClassVar, Final, final

from typing_extensions import override

from robust.errors import RuleError
from robust.inputs import Inputs
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count

# How many rows, beside f, a score leaves out. Blanchard's count is n - f - 2 of the others; byzfl
# 0.0.11 takes one more.
NEIGHBORS: Final = {"blanchard": 2, "byzfl": 1}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Krum(SpanRule):
    """Return the row with the lowest score, the sum of squared distances to its nearest others.

    The result is one of the rows to the last bit. Of rows with equal scores, exact copies among
    them, the one with the lowest key is taken. Copies are at distance 0 of each other: f of them
    win nothing by that, since a score counts more neighbors than they are, but more than f do.

    Every row has one vote: `weights` are ignored. `own` is where distances are measured from,
    which changes them by rounding only. With `gram`, distances are taken from it.

    Args:
        byzantine_count: The paper's f. Needs 2 f + 3 <= n.
        neighbors: "blanchard" sums over the nearest n - f - 2, "byzfl" over n - f - 1.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0 or `neighbors` unknown.

    Source: Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient
        descent", section 4.
    Differs: nothing; byzfl's count is an option.
    Cost: O(n^2 d) time in one pass and a copy of the row, one block of n rows beyond the result in
        memory.
    """

    finds_wild_values: ClassVar[bool] = True

    byzantine_count: int
    neighbors: str = "blanchard"

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        _check_neighbors(self.neighbors)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows for which the paper's bound holds: 2 f + 3."""
        return 2 * self.byzantine_count + 3

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        return _mean_of_best(inputs, self.byzantine_count, self.neighbors, 1)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MultiKrum(SpanRule):
    """Average the rows with the lowest scores of Krum.

    The scores are those among all rows, computed once. Of rows with equal scores, those with the
    lowest keys are taken; `weights`, `own` and `gram` as in `Krum`.

    Args:
        byzantine_count: The paper's f. Needs 2 f + 3 <= n.
        neighbors: "blanchard" sums over the nearest n - f - 2, "byzfl" over n - f - 1.
        kept_count: The paper's m, how many rows to average, from 1 to n; n - f if left out.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0, `neighbors` unknown, or
            `kept_count` not a whole number >= 1.

    Source: Blanchard et al. 2017, "Machine learning with adversaries: Byzantine tolerant gradient
        descent", section 4, Multi-Krum.
    Differs: nothing; the paper leaves m open, and n - f is what the rows would be without liars.
    Cost: O(n^2 d) time in two passes, one block of n rows beyond the result in memory.
    """

    finds_wild_values: ClassVar[bool] = True

    byzantine_count: int
    neighbors: str = "blanchard"
    kept_count: int | None = None

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)
        _check_neighbors(self.neighbors)
        kept: object = self.kept_count
        if kept is not None and (isinstance(kept, bool) or not isinstance(kept, int) or kept < 1):
            raise RuleError(f"kept_count={kept!r} is not a whole number >= 1")

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows for which the paper's bound holds, 2 f + 3, or `kept_count`."""
        return max(2 * self.byzantine_count + 3, self.kept_count or 0)

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        kept_count = self.kept_count or inputs.row_count - self.byzantine_count
        return _mean_of_best(inputs, self.byzantine_count, self.neighbors, kept_count)


def _check_neighbors(value: str) -> None:
    if value not in NEIGHBORS:
        raise RuleError(f"unknown neighbors {value!r}; known: {', '.join(sorted(NEIGHBORS))}")


def _mean_of_best(inputs: Inputs, byzantine_count: int, neighbors: str, kept_count: int) -> Shares:
    scores = _scores(inputs, inputs.row_count - byzantine_count - NEIGHBORS[neighbors])
    # The sort is stable: rows with equal scores stay in the order of their keys.
    best = set(sorted(inputs.order, key=scores.__getitem__)[:kept_count])
    share = 1.0 / kept_count
    return Shares(tuple(share if row in best else 0.0 for row in range(inputs.row_count)))


def _scores(inputs: Inputs, neighbor_count: int) -> list[float]:
    """Sum each row's squared distances to its nearest others."""
    scores = []
    for row, distances in enumerate(inputs.measure().squared_distances().tolist()):
        others = sorted(distances[:row] + distances[row + 1 :])
        scores.append(sum(others[:neighbor_count]))
    return scores
