"""Trust rows by their angle to the own one, and give all of them its length."""

import math
from dataclasses import dataclass
from typing import ClassVar, Final, final

from typing_extensions import override

from robust.inputs import Inputs
from robust.rule import Shares, SpanRule
from robust.tolerance import check_byzantine_count

# A guess: no honest drift is so much shorter than another, and scaled up by more, numbers leave
# the range of float32.
_LENGTH_RATIO_MAX: Final = 1e12


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FLTrust(SpanRule):
    """Scale each row to the length of own and weigh it by its cosine to own, if positive.

    sum_j T_j (|g| / |g_j|) g_j / sum_j T_j with T_j = max(0, cos(g_j, g)), where g is `own`. No
    count of liars is assumed: a row is trusted as far as it points where the own data point, and
    none is longer than `own`. The result is `own` if no row is trusted. It is worth as much as own
    data are like those of others.

    Rows are to be drifts from a common start: of whole models, all angles are small.

    `own` is required and decides by itself: `weights` are ignored. With `gram`, lengths and angles
    are taken from it, and `own` has to be among the rows.

    A row's coefficient is its share of the result, T_j / sum_j T_j: that of the row scaled to the
    length of own. Of the row as it came it would say how short that is, and not how much it counts.

    Args:
        byzantine_count: Taken so that every rule can be made alike.

    Raises:
        RuleError: If `byzantine_count` is not a whole number >= 0.

    Source: Cao et al. 2021, "FLTrust: Byzantine-robust federated learning via trust
        bootstrapping", equations 2 to 4.
    Differs: the own drift takes the place of the one that the paper's server computes on a data set
        of its own. Where it stands among the rows it has a vote, with trust 1, or else two peers
        would swap their vectors for ever. A row 1e12 times shorter than own has no direction.
    Cost: O(n^2 d) time in two passes, one block of n + 1 rows beyond the result in memory.
    """

    finds_wild_values: ClassVar[bool] = True

    byzantine_count: int = 0

    def __post_init__(self) -> None:
        check_byzantine_count(self.byzantine_count)

    @property
    @override
    def rows_min(self) -> int:
        """One: without trusted rows, own is kept."""
        return 1

    @override
    def _shares(self, inputs: Inputs) -> Shares:
        inputs.required_own()
        geometry = inputs.measure_about_origin()
        own_norm = math.sqrt(geometry.squared_norm_of_own())
        norms = geometry.squared_norms().sqrt().tolist()
        trusts = [
            min(1.0, max(0.0, product / norm / own_norm))
            if norm > 0.0 and own_norm > 0.0 and norm * _LENGTH_RATIO_MAX >= own_norm
            else 0.0
            for product, norm in zip(geometry.products_with_own().tolist(), norms, strict=True)
        ]
        total = math.fsum(trusts)
        if total == 0.0:
            return Shares((0.0,) * len(trusts), own=1.0)
        return Shares(
            tuple(
                trust * (own_norm / norm) / total if trust > 0.0 else 0.0
                for trust, norm in zip(trusts, norms, strict=True)
            ),
            scaled=tuple(trust / total for trust in trusts),
        )
