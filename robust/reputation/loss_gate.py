"""Which updates to try on own held-out data, and whom the results turn away."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Self, final

from robust.errors import RuleError
from robust.parameters import (
    check_fields,
    check_mapping,
    check_real,
    check_round,
    check_text,
    is_whole_number,
    names_checked,
    shown,
)
from robust.peers import PeerT, by_key, peer_key
from robust.reputation.snapshot import chosen, read_snapshot, write_snapshot

_KIND: Final = "loss gate"
_RANGES: Final = {
    "mean": (0.0, 1.0),
    "gain": (-1.0, 1.0),
    "gain_variance": (0.0, 4.0),
}
# The rank of one of whom nothing is known, and of an update that changes nothing.
_MIDDLE: Final = 0.5
_PAIR: Final = 2  # that many gains can be ranked


@final
@names_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class LossGatePolicy:
    """How often origins are probed, and how bad they have to be.

    Args:
        probe_count: Origins to probe per round, at least 2: one alone cannot be ranked.
        memory: Share that the averages keep per probe.
        value_min: Origins of a lower mean rank may be rejected.
        scores_min: Probes from which on an origin is rated: may be rejected, and compared with.
        margin_errors: Standard errors by which the mean gain has to be below 0, and below the
            median of the others.
        origins_max: Origins to remember, at least `probe_count`; those probed longest ago are
            forgotten first, and of the rejected the latest ones, up to half of all, last.

    Raises:
        RuleError: If a value is out of range.
    """

    probe_count: int = 2  # guess: of 20 origins, a tenth of what probing all would cost
    memory: float = 0.9  # guess
    value_min: float = 0.2  # guess: steadily among the worst fifth
    scores_min: int = 10  # guess
    # Measured with six origins, two probed per round, over 100 probes of each, 100 times. Of honest
    # ones whose gains are noise, as at the end of training, 2 % are rejected at some time, and 6 %
    # with 2 in place of 3. If all of them harm by 0.5 times the noise it is 3 %, and nobody at 1.7
    # times. Two liars who lose 0.5, 1 and 2 times the noise, while honest ones gain as much, are
    # found after 32, 16 and 11 probes (median); of the first, a third is never found.
    margin_errors: float = 3.0
    origins_max: int = 4096  # 1 MB of ratings

    def __post_init__(self) -> None:
        check_fields(self)
        leasts = {"probe_count": 2, "scores_min": 1, "origins_max": self.probe_count}
        for name, least in leasts.items():
            count = getattr(self, name)
            if count < least:
                fix = f"must be a whole number >= {least}"
                raise RuleError(f"LossGatePolicy.{name}={count!r}: {fix}")
        if not 0.0 < self.memory < 1.0:
            raise RuleError(f"LossGatePolicy.memory={self.memory}: must be above 0 and below 1")
        if not 0.0 <= self.value_min < _MIDDLE:
            raise RuleError(f"LossGatePolicy.value_min={self.value_min}: must be in [0, 1/2)")
        if not 0.0 <= self.margin_errors < math.inf:
            raise RuleError(
                f"LossGatePolicy.margin_errors={self.margin_errors}: must be finite and >= 0"
            )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What the probes of one origin have shown.

    Attributes:
        mean: Moving average of its rank in a round, in [0, 1]; 1 is the best.
        gain: Moving average of its relative gain in held-out loss, in [-1, 1].
        gain_variance: Moving average of the squared distance from it.
        scores: Probes so far.
        seen: The own round of the last one.
    """

    mean: float = _MIDDLE
    gain: float = 0.0
    gain_variance: float = 0.0
    scores: int = 0
    seen: int = 0


@final
class LossGate:
    """Turn away origins whose updates harm the own held-out loss, round after round.

    In each round, ask `probes` whose updates to try. For each of them compute the relative gain in
    loss, (L(theta) - L(theta - rho q)) / |L(theta)|, on a fresh batch of data that is never trained
    on, with a small step rho; that is one forward pass per origin, and one more. Hand the gains to
    `record`. Whoever is among the `rejected` is left out of the integration, and is probed on.

    It is a gate and not a weight: among those not rejected, a better rating buys nothing. Nobody is
    rejected for a negative gain alone, for an honest neighbor with other data can harm the own
    held-out loss. An origin is judged among the others at hand, as far as they are rated, too, by
    enough probes. It is rejected while

    - it ranks among the worst in the rounds in which it is probed,
    - its mean gain is clearly negative, and clearly below the median of the others', and
    - fewer than half of those rated have a mean gain that is clearly negative.

    So it takes three rated origins to reject one. Where half of them harm, they may all be liars or
    all be honest and have other data; the gate then rejects nobody. It sees great harm only. A
    backdoor that leaves the held-out loss alone passes, and an honest origin is rejected whose data
    is so unlike the own, and that of most others, that it looks like a liar.

    Args:
        seed: Of the order of probes, at least 0. Keep it to yourself: who knows it can behave when
            probed.
        policy: The constants.
        genesis: What the ratings are about; a snapshot of another genesis is refused.

    Raises:
        RuleError: If an argument has another type.

    Source: The loss scores, ratings and gates of the Gauntlet of Lidin et al. 2025,
        "Incentivizing permissionless distributed learning of LLMs".
    Differs: there is no chain, no payment and no assigned data; a moving average takes the place
        of the OpenSkill rating. No deviation is taken off the mean rank: of two probed at a time
        everybody's is 1/2, and everybody would be bad. Gains are cut to [-1, 1], so that one probe
        is never all, and count as negative from three standard errors on: the mean of noise is
        below 0 half of the time.
    Cost: O(n log(n)) time per round for n origins.
    """

    __slots__ = ("_policy", "_ratings", "_seed", "genesis")

    def __init__(
        self, seed: int, policy: LossGatePolicy | None = None, *, genesis: str = ""
    ) -> None:
        if not is_whole_number(seed) or seed < 0:
            fix = "give one that other peers do not know"
            raise RuleError(f"seed={shown(seed)} is not a whole number >= 0; {fix}")
        if not isinstance(policy, LossGatePolicy | None):
            raise RuleError(f"policy={shown(policy)} is no LossGatePolicy")
        check_text(genesis, "genesis")
        self._seed = seed
        self._policy = policy or LossGatePolicy()
        self._ratings: dict[bytes, Rating] = {}
        self.genesis: Final = genesis

    def probes(self, round_index: int, origins: Iterable[PeerT]) -> tuple[PeerT, ...]:
        """Choose the origins to probe in a round: a function of the seed and the arguments.

        While there are the same n origins, each is chosen at least once in rounds c k to
        c k + c - 1, for every k and c = ceil(n / probe_count). Who meets whom changes with k.

        Args:
            round_index: The own round, >= 0.
            origins: Whose updates of the round are at hand; leave out those that would not count
                anyway, or many new names take the probes from all others.

        Returns:
            `probe_count` of them, or all if there are fewer; nobody of one alone.

        Raises:
            RuleError: If the round is negative, or an origin has no name.
        """
        check_round(round_index)
        named = by_key(origins, "origins")
        if len(named) < _PAIR:
            return ()
        if len(named) <= self._policy.probe_count:
            return tuple(named[key] for key in sorted(named))
        cycle, place = divmod(round_index, math.ceil(len(named) / self._policy.probe_count))
        order = sorted(named, key=lambda key: self._rank_in_cycle(cycle, key))
        start = place * self._policy.probe_count
        # The last ones of a cycle are filled up with its first ones, or one would rank alone.
        chosen = (order + order)[start : start + self._policy.probe_count]
        return tuple(named[key] for key in chosen)

    def record(self, round_index: int, gains: Mapping[PeerT, float]) -> tuple[PeerT | bytes, ...]:
        """Take in the gains of one round.

        Args:
            round_index: The own round, >= 0.
            gains: The relative gain in held-out loss of each origin probed; NaN counts as -1. One
                alone, because nothing could be said of the rest, is ignored.

        Returns:
            The origins with another rating than before, or none any more, in ascending order:
            what to save, by `snapshot(origins)`. They are named as they were here; those
            forgotten, who are not here, by bytes.

        Raises:
            RuleError: If the round is negative, an origin has no name, or a gain is no number.
        """
        check_round(round_index)
        check_mapping(gains, "gains", of="numbers")
        for origin, gain in gains.items():
            check_real(gain, f"gains: {shown(origin)}")
        cut = {peer_key(origin, "gains"): _cut(gain) for origin, gain in gains.items()}
        names = {peer_key(origin): origin for origin in gains}
        if len(cut) < _PAIR:
            return ()
        for key in sorted(cut):
            old, new = self._ratings.get(key, Rating()), 1.0 - self._policy.memory
            drift = cut[key] - old.gain
            self._ratings[key] = Rating(
                mean=old.mean + new * (_rank(key, cut) - old.mean),
                gain=old.gain + new * drift,
                gain_variance=self._policy.memory * (old.gain_variance + new * drift * drift),
                scores=old.scores + 1,
                seen=round_index,
            )
        return tuple(names.get(key, key) for key in sorted({*cut, *self._forget()}))

    def rating(self, origin: bytes | str) -> Rating:
        """Return what is known of an origin."""
        return self._ratings.get(peer_key(origin, "origin"), Rating())

    def rejected(self, origins: Iterable[PeerT]) -> tuple[PeerT, ...]:
        """Tell whose updates are to be left out.

        Args:
            origins: Whose updates are at hand; they are judged among each other.

        Returns:
            Those, in the order of `origins`.
        """
        named = by_key(origins, "origins")
        rated = {
            key: rating
            for key, rating in ((key, self.rating(key)) for key in named)
            if rating.scores >= self._policy.scores_min
        }
        harmful = {key for key, it in rated.items() if it.gain < -self._margin(it)}
        if 2 * len(harmful) >= len(rated):
            return ()
        return tuple(
            named[key]
            for key, rating in rated.items()
            if key in harmful
            and rating.mean < self._policy.value_min
            and rating.gain < _median_of_others(key, rated) - self._margin(rating)
        )

    def snapshot(self, origins: Iterable[bytes | str] | None = None) -> dict[str, Any]:
        """Return all ratings, or those of `origins`, as JSON can hold them.

        Tables of the same form add up, as for a ledger.
        """
        return write_snapshot(_KIND, self.genesis, chosen(self._ratings, origins, name="origins"))

    @classmethod
    def restore(
        cls,
        snapshot: object,
        seed: int,
        policy: LossGatePolicy | None = None,
        *,
        genesis: str = "",
    ) -> Self:
        """Make a gate that goes on where another one was.

        Args:
            snapshot: What `snapshot` returned, perhaps by way of a file.
            seed: As for a new gate; it may be another one.
            policy: As for a new gate; it may be another one.
            genesis: As for a new gate.

        Raises:
            SnapshotError: If it is damaged or of another genesis or schema; a RuleError. The
                caller then starts with a new gate, and says so.
        """
        gate = cls(seed, policy, genesis=genesis)
        gate._ratings = read_snapshot(snapshot, _KIND, genesis, Rating, _RANGES)
        gate._forget()
        return gate

    def _margin(self, rating: Rating) -> float:
        """Return by how much a mean gain may be off."""
        memory = self._policy.memory
        error = math.sqrt(rating.gain_variance * (1.0 - memory) / (1.0 + memory))
        return self._policy.margin_errors * error

    def _forget(self) -> list[bytes]:
        excess = len(self._ratings) - self._policy.origins_max
        if excess <= 0:
            return []
        # Not those probed the least: with a full memory, no newcomer could be rated any more.
        by_age = sorted(self._ratings, key=lambda key: (self._ratings[key].seen, key))
        kept = set(self.rejected(by_age)[-max(1, self._policy.origins_max // 2) :])
        dropped = sorted(by_age, key=kept.__contains__)[:excess]
        for key in dropped:
            del self._ratings[key]
        return dropped

    def _rank_in_cycle(self, cycle: int, key: bytes) -> bytes:
        label = f"{self._seed} {cycle} ".encode()
        return blake2b(label + key, digest_size=16).digest()


def _rank(key: bytes, gains: Mapping[bytes, float]) -> float:
    """Return the share of the others that it leaves behind.

    Whoever changes nothing has the middle rank, whatever the others do.
    """
    gain = gains[key]
    if gain == 0.0:
        return _MIDDLE
    others = [other for name, other in gains.items() if name != key]
    behind = sum(1.0 if other < gain else 0.5 if other == gain else 0.0 for other in others)
    return behind / len(others)


def _median_of_others(key: bytes, rated: Mapping[bytes, Rating]) -> float:
    return statistics.median(it.gain for name, it in rated.items() if name != key)


def _cut(gain: float) -> float:
    return -1.0 if math.isnan(gain) else float(min(1.0, max(-1.0, gain)))
