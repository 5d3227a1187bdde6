"""A mean of those who agree, by what they have earned."""

import math
from dataclasses import dataclass
from typing import final

from typing_extensions import override

from robust.agreement import measure_agreements
from robust.errors import InfeasibleError
from robust.inputs import Inputs
from robust.neighbors import find_own_rows
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation(SpanRule):
    """Average the rows by their weights times their agreement in this round.

    sum_j w_j phi_j x_j / sum_j w_j phi_j, where phi_j is what `robust.agreement.agreements` gives
    row j. The own row is not on trial: it counts as much as the best of the others.

    `own` is required. `weights` are the masses of a `robust.ReputationLedger`, the own row's
    included. With `gram`, angles are taken from it, and `own` has to be among the rows.

    Args:
        byzantine_count: Rows that may be arbitrary; the papers' f. Needs f < n: where liars may
            be half or more, own alone says who agrees.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Xu and Lyu 2021, "A reputation mechanism is all you need: collaborative fairness and
        adversarial robustness in federated learning" (RFFL), algorithm 1, the aggregation.
    Differs: the paper weighs by reputation alone, into which one round's cosine enters with 5 %;
        a neighbor that turns would be followed for twenty rounds. Weights are those of one peer,
        and come from outside. Where nobody else agrees at all, there is no result.
    Cost: O(n^2 d) time in two passes, one block of n + 1 rows in memory.
    """

    byzantine_count: int

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """The fewest rows of which the own one is honest: f + 1."""
        return self.byzantine_count + 1

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        own_rows = find_own_rows(inputs)
        agreements = measure_agreements(inputs, self.byzantine_count)
        best = max((phi for row, phi in enumerate(agreements) if row not in own_rows), default=1.0)
        counts = [
            weight * (best if row in own_rows else phi)
            for row, (weight, phi) in enumerate(zip(inputs.weights, agreements, strict=True))
        ]
        total = math.fsum(counts)
        if total == 0.0:
            raise InfeasibleError(
                f"of {len(counts)} rows, none that has weight agrees with the others: keep the "
                "own vector"
            )
        return Shares(tuple(count / total for count in counts))
