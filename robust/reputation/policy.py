"""The constants of reputation."""

import math
from dataclasses import dataclass
from typing import Final, final

from robust.errors import RuleError
from robust.parameters import check_fields, names_checked, shown

# An update this many times longer or shorter than the median one agrees with nothing, whatever
# its direction. Guess: honest lengths of one round differ by less.
NORM_RATIO_MAX: Final = 4.0


@final
@names_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationPolicy:
    """How fast reputation moves, what it is worth, and when it costs a neighbor its place.

    Args:
        decay: Share of its reputation that a neighbor keeps per round; the paper's alpha.
        gap_rounds_max: Rounds for which one observation may stand, if there was none in between.
        half_life_rounds: Rounds of absence after which half of a reputation above the resting
            level is gone; also, how long an absent neighbor is part of what others are judged by.
        rest_ratio: The resting level, as a share of the median reputation.
        agreement_exponent: Power of the agreement in what an observation earns.
        performance_exponent: Power of the performance in what an observation earns.
        observations_min: Observations during which a neighbor is on probation.
        probation_share_max: Largest mass of a neighbor on probation, as a share of 1 / neighbors.
        probation_mass_max: Largest mass of all neighbors on probation together.
        group_mass_max: Largest mass of neighbors that may be one person, and of a single one; an
            equal share of the mass if that is more.
        own_mass_min: Smallest mass of the own row; 1 / (neighbors + 1) if left out.
        ban_ratio: A neighbor is below the ban level if its rating is below this share of the mean
            and of the median rating.
        ban_streak: Observations below the ban level, one after the other, that lead to a ban.
        ban_peers_min: Rated neighbors below which nobody is judged by the others.
        ban_rounds_first: Rounds of a first ban; each strike doubles them.
        ban_rounds_max: Rounds of the longest ban.
        ban_exit_ratio: The reputation that one who served a ban can win back at once, as a share
            of the median.
        strike_memory_rounds: Rounds after a ban in which one strike is forgotten.
        quota_min: Smallest quota, so that newcomers can begin.
        peers_max: Neighbors to remember; those unseen for longest are forgotten first.

    Raises:
        RuleError: If a value is out of range.

    Source: decay, ban_ratio, observations_min: Xu and Lyu 2021, "A reputation mechanism is all
        you need: collaborative fairness and adversarial robustness in federated learning", and
        the settings of its experiments.
    """

    decay: float = 0.95  # the paper's experiments
    gap_rounds_max: int = 5  # guess: one good day must not make up for a long absence
    half_life_rounds: float = 200.0  # guess
    rest_ratio: float = 0.5  # guess
    agreement_exponent: float = 1.0  # the paper has the cosine alone, unchanged
    performance_exponent: float = 1.0  # guess
    observations_min: int = 10  # the paper's experiments remove nobody before round 10
    probation_share_max: float = 0.5  # guess: newcomers count half at most
    probation_mass_max: float = 0.2  # guess: below what robust rules survive
    group_mass_max: float = 0.3  # the share of liars that rules allow for by default
    own_mass_min: float | None = None
    ban_ratio: float = 1.0 / 3.0  # the paper's threshold
    ban_streak: int = 3  # guess: one bad round under skewed data is no offence
    ban_peers_min: int = 3  # of two that differ, nobody can tell which one is wrong
    ban_rounds_first: int = 10  # guess: as long as probation
    ban_rounds_max: int = 1440  # guess: a day of rounds of a minute
    # Measured: with 0.9, having served a first ban is worth more than a new identity after 37 to
    # 49 rounds, for one that mends its ways; with 0.6 it never is.
    ban_exit_ratio: float = 0.9
    strike_memory_rounds: int = 1000  # guess: five half-lives, so that bans are forgotten last
    quota_min: float = 0.1  # guess
    peers_max: int = 4096  # 1 MB of records

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("decay", "rest_ratio", "ban_ratio", "ban_exit_ratio"):
            self._check(name, 0.0 < getattr(self, name) < 1.0, "above 0 and below 1")
        for name in ("probation_share_max", "probation_mass_max", "group_mass_max", "quota_min"):
            self._check(name, 0.0 < getattr(self, name) <= 1.0, "above 0 and at most 1")
        for name in ("agreement_exponent", "performance_exponent"):
            value = getattr(self, name)
            self._check(name, value >= 0.0 and math.isfinite(value), "finite and at least 0")
        for name in _COUNTS:
            self._check(name, getattr(self, name) >= 1, "a whole number, at least 1")
        half_life = self.half_life_rounds
        self._check("half_life_rounds", 0.0 < half_life < math.inf, "above 0 and finite")
        own = self.own_mass_min
        self._check("own_mass_min", own is None or 0.0 <= own < 1.0, "None, or in [0, 1)")
        self._check(
            "ban_rounds_max",
            self.ban_rounds_max >= self.ban_rounds_first,
            f"at least ban_rounds_first={self.ban_rounds_first}",
        )

    def _check(self, name: str, is_fine: bool, wanted: str) -> None:
        if not is_fine:
            value = shown(getattr(self, name))
            raise RuleError(f"ReputationPolicy.{name}={value}: must be {wanted}")


_COUNTS: Final = (
    "gap_rounds_max",
    "observations_min",
    "ban_streak",
    "ban_peers_min",
    "ban_rounds_first",
    "ban_rounds_max",
    "strike_memory_rounds",
    "peers_max",
)
