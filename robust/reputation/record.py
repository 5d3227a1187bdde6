"""What is known about one neighbor, and how an observation, an absence and a ban change it."""

import math
from dataclasses import dataclass, replace
from typing import Final, Self, final

from robust.parameters import check_real
from robust.reputation.policy import NORM_RATIO_MAX, ReputationPolicy

_DOUBLINGS_MAX: Final = 60  # of a ban; longer than any that a policy allows


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one update of a neighbor showed. Any value is read, whatever the neighbor did.

    Attributes:
        agreement: Its cosine with what the others sent, as `robust.agreement.agreements` gives
            it. Negative values and NaN count as 0.
        norm_ratio: Its length over the median length. Outside (1/4, 4), the agreement counts as 0.
        performance: How good it is on own held-out data, in [0, 1]; None if nobody looked.
        validity: How far its conduct since the last observation was in order, in [0, 1].

    Raises:
        RuleError: If a value is no number at all.
    """

    agreement: float
    norm_ratio: float = 1.0
    performance: float | None = None
    validity: float = 1.0

    def __post_init__(self) -> None:
        for name in ("agreement", "norm_ratio", "validity"):
            check_real(getattr(self, name), f"Observation.{name}")
        if self.performance is not None:
            check_real(self.performance, "Observation.performance")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The state of one neighbor in a ledger.

    All three averages start at 0 and weigh by the round: what was observed s rounds ago counts
    decay^s. `agreed / evidence` is therefore a mean agreement, however short the acquaintance,
    while `earned` is small after a short one.

    Attributes:
        first_round: When it was first observed.
        last_round: When it was last observed.
        observations: How often, since a ban if there was one; the same goes for `agreed`,
            `evidence` and `below_count`.
        earned: Average of agreement^a performance^b validity: the reputation.
        agreed: Average of agreement times validity.
        evidence: Average of 1.
        below_count: Latest observations that left its rating below the ban level.
        strikes: Bans that had not been forgotten when the latest began, that one included.
        banned_until: The first round after its latest ban; 0 if there was none.
    """

    first_round: int
    last_round: int
    observations: int = 0
    earned: float = 0.0
    agreed: float = 0.0
    evidence: float = 0.0
    below_count: int = 0
    strikes: int = 0
    banned_until: int = 0

    @property
    def rating(self) -> float:
        """Its mean agreement, in [0, 1]; 0 before the first observation."""
        return self.agreed / self.evidence if self.evidence > 0.0 else 0.0

    def is_banned(self, round_index: int) -> bool:
        """Tell whether it serves a ban in a round."""
        return round_index < self.banned_until

    def is_on_probation(self, policy: ReputationPolicy) -> bool:
        """Tell whether too little has been seen of it."""
        return self.observations < policy.observations_min

    def strikes_left(self, round_index: int, policy: ReputationPolicy) -> int:
        """Count the strikes that are not forgotten."""
        good_rounds = max(0, round_index - self.banned_until)
        return max(0, self.strikes - good_rounds // policy.strike_memory_rounds)

    def has_paid_dues(self, ban_level: float, policy: ReputationPolicy) -> bool:
        """Tell whether it agreed as much in sum as one at the ban level does during probation.

        A mean would not do: under a new identity, a bad past would be gone from it.
        """
        return self.agreed > 0.0 and self.agreed >= ban_level * (
            1.0 - policy.decay**policy.observations_min
        )

    def rested(self, round_index: int, rest_level: float, policy: ReputationPolicy) -> Self:
        """Return it after the rounds since it was last observed, `round_index` not among them.

        A reputation above `rest_level` falls towards it. One below stays: absence earns nothing.
        The rating stays as well, with less behind it.
        """
        idle_rounds = max(0, round_index - self.last_round - 1)
        if idle_rounds == 0 or self.earned <= rest_level:
            return self
        kept = 0.5 ** (idle_rounds / policy.half_life_rounds)
        earned = rest_level + (self.earned - rest_level) * kept
        ratio = earned / self.earned
        return replace(
            self, earned=earned, agreed=self.agreed * ratio, evidence=self.evidence * ratio
        )

    def released(self, earned_level: float) -> Self:
        """Return it after a served ban: on probation again, with a reputation to win back.

        It is judged anew, and has no mass before it has shown that it mended its ways. Then it
        has at least `earned_level`, more than a new identity would have by then.
        """
        return replace(
            self,
            observations=0,
            earned=max(self.earned, earned_level),
            agreed=0.0,
            evidence=0.0,
            below_count=0,
        )

    def observed(
        self, round_index: int, observation: Observation, policy: ReputationPolicy
    ) -> Self:
        """Return it after one more observation, in a later round than the last one."""
        gap_rounds = round_index - self.last_round if self.observations else 1
        kept = policy.decay ** min(gap_rounds, policy.gap_rounds_max)
        agreement = _agreement(observation)
        validity = _ratio(observation.validity)
        performance = 1.0 if observation.performance is None else _ratio(observation.performance)
        gain = (
            agreement**policy.agreement_exponent
            * performance**policy.performance_exponent
            * validity
        )
        return replace(
            self,
            last_round=round_index,
            observations=self.observations + 1,
            earned=_mixed(self.earned, gain, kept),
            agreed=_mixed(self.agreed, agreement * validity, kept),
            evidence=_mixed(self.evidence, 1.0, kept),
        )

    def compared(self, ban_level: float) -> Self:
        """Return it after its rating was compared with the ban level."""
        is_below = self.rating < ban_level
        return replace(self, below_count=self.below_count + 1 if is_below else 0)

    def banned(self, round_index: int, policy: ReputationPolicy) -> Self:
        """Return it at the start of a ban."""
        strikes = self.strikes_left(round_index, policy)
        rounds = policy.ban_rounds_first * 2 ** min(strikes, _DOUBLINGS_MAX)
        return replace(
            self,
            below_count=0,
            strikes=strikes + 1,
            banned_until=round_index + min(rounds, policy.ban_rounds_max),
        )


def _mixed(old: float, new: float, kept: float) -> float:
    return min(1.0, kept * old + (1.0 - kept) * new)


def _agreement(observation: Observation) -> float:
    if not 1.0 / NORM_RATIO_MAX < observation.norm_ratio < NORM_RATIO_MAX:
        return 0.0
    return _ratio(observation.agreement)


def _ratio(value: float) -> float:
    """Return `value` within [0, 1]; 0 for what is no number."""
    return 0.0 if math.isnan(value) else float(min(1.0, max(0.0, value)))
