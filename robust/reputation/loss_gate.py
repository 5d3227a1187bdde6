"""Which updates to try on own held-out data, and whom the results turn away."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Self, final

from robust.errors import RuleError
from robust.peers import PeerT, peer_key
from robust.reputation.snapshot import chosen, read_snapshot, write_snapshot

_KIND: Final = "loss gate"
_RANGES: Final = {
    "mean": (0.0, 1.0),
    "variance": (0.0, 1.0),
    "gain": (-1.0, 1.0),
    "gain_variance": (0.0, 4.0),
}
# The rank of one of whom nothing is known, and of an update that changes nothing.
_MIDDLE: Final = 0.5


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LossGatePolicy:
    """How often origins are probed, and how bad they have to be.

    Args:
        probe_count: Origins to probe per round.
        memory: Share that the averages keep per probe.
        value_min: Ratings below this may be rejected.
        scores_min: Probes before anybody is rejected.
        margin_errors: Standard errors by which the mean gain has to be below 0.
        origins_max: Origins to remember; those probed longest ago are forgotten first, and of the
            rejected the latest ones, up to half of all, last.

    Raises:
        RuleError: If a value is out of range.
    """

    probe_count: int = 2  # guess: of 20 origins, a tenth of what probing all would cost
    memory: float = 0.9  # guess
    value_min: float = 0.2  # guess: steadily among the worst fifth
    scores_min: int = 10  # guess
    # Measured on gains that are noise, as near the end of training: within 16 probes, an honest
    # origin is rejected at some time with a chance of 73 % at 0, 10 % at 2 and 2 % at 3. A liar
    # that loses half of the noise per probe is found after 10, 12 and 23 probes.
    margin_errors: float = 3.0
    origins_max: int = 4096  # 1 MB of ratings

    def __post_init__(self) -> None:
        for name in ("probe_count", "scores_min", "origins_max"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise RuleError(f"LossGatePolicy.{name}={count!r}: must be a whole number >= 1")
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
        variance: Moving average of the squared distance from it.
        gain: Moving average of its relative gain in held-out loss, in [-1, 1].
        gain_variance: Moving average of the squared distance from it.
        scores: Probes so far.
    """

    mean: float = _MIDDLE
    variance: float = 0.0
    gain: float = 0.0
    gain_variance: float = 0.0
    scores: int = 0

    @property
    def value(self) -> float:
        """Mean minus standard deviation: what the origin is good for at least."""
        return self.mean - math.sqrt(self.variance)


@final
class LossGate:
    """Turn away origins whose updates harm the own held-out loss, round after round.

    In each round, ask `probes` whose updates to try. For each of them compute the relative gain in
    loss, (L(theta) - L(theta - rho q)) / L(theta), on a fresh batch of data that is never trained
    on, with a small step rho; that is one forward pass per origin, and one more. Hand the gains to
    `record`. Whoever `is_rejected` is left out of the integration, and is probed on.

    It is a gate and not a weight: among those not rejected, a better rating buys nothing. An
    origin is rejected only for a low rating, from enough probes, with a mean gain that is clearly
    negative. Never for a negative gain alone: an honest neighbor with other data can harm the own
    held-out loss. It sees great harm only. A backdoor that leaves the held-out loss alone passes.

    Args:
        seed: Of the order of probes. Keep it to yourself: who knows it can behave when probed.
        policy: The constants.
        genesis: What the ratings are about; a snapshot of another genesis is refused.

    Source: The loss scores, ratings and gates of the Gauntlet of Lidin et al. 2025,
        "Incentivizing permissionless distributed learning of LLMs".
    Differs: there is no chain, no payment and no assigned data; a moving average takes the place
        of the OpenSkill rating. The rank is that among those probed in the round and an update
        that changes nothing: of two alone, one would always be last, and both would have a
        standard deviation of 1/2. Gains are cut to [-1, 1], so that one probe is never all, and
        count as negative from three standard errors on: the mean of noise is below 0 half of the
        time.
    Cost: O(n log(n)) time per round for n origins.
    """

    __slots__ = ("_policy", "_ratings", "_seed", "genesis")

    def __init__(
        self, seed: int, policy: LossGatePolicy | None = None, *, genesis: str = ""
    ) -> None:
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
            origins: Whose updates of the round are at hand.

        Returns:
            `probe_count` of them, or all if there are fewer.

        Raises:
            RuleError: If the round is negative.
        """
        if round_index < 0:
            raise RuleError(f"round_index={round_index}: count the own rounds from 0")
        named = {peer_key(origin): origin for origin in origins}
        if len(named) <= self._policy.probe_count:
            return tuple(named[key] for key in sorted(named))
        cycle, place = divmod(round_index, math.ceil(len(named) / self._policy.probe_count))
        order = sorted(named, key=lambda key: self._rank_in_cycle(cycle, key))
        start = place * self._policy.probe_count
        # The last ones of a cycle are filled up with its first ones, or one would rank alone.
        chosen = (order + order)[start : start + self._policy.probe_count]
        return tuple(named[key] for key in chosen)

    def record(self, gains: Mapping[PeerT, float]) -> tuple[bytes, ...]:
        """Take in the gains of one round.

        Args:
            gains: The relative gain in held-out loss of each origin probed; NaN counts as -1.

        Returns:
            The origins with another rating than before, or none any more, in ascending order:
            what to save, by `snapshot(origins)`.
        """
        cut = {peer_key(origin): _cut(gain) for origin, gain in gains.items()}
        for key in sorted(cut):
            old = self._ratings.pop(key, Rating())  # the one probed last stands last
            mean, variance = self._moved(old.mean, old.variance, _rank(key, cut))
            gain, gain_variance = self._moved(old.gain, old.gain_variance, cut[key])
            self._ratings[key] = Rating(
                mean=mean,
                variance=variance,
                gain=gain,
                gain_variance=gain_variance,
                scores=old.scores + 1,
            )
        return tuple(sorted({*cut, *self._forget()}))

    def rating(self, origin: bytes | str) -> Rating:
        """Return what is known of an origin."""
        return self._ratings.get(peer_key(origin), Rating())

    def is_rejected(self, origin: bytes | str) -> bool:
        """Tell whether an origin's updates are to be left out."""
        rating, memory = self.rating(origin), self._policy.memory
        error = math.sqrt(rating.gain_variance * (1.0 - memory) / (1.0 + memory))
        return (
            rating.scores >= self._policy.scores_min
            and rating.value < self._policy.value_min
            and rating.gain < -self._policy.margin_errors * error
        )

    def snapshot(self, origins: Iterable[bytes | str] | None = None) -> dict[str, Any]:
        """Return all ratings, or those of `origins`, as JSON can hold them.

        Not the order in which to forget them. Tables of the same form add up, as for a ledger.
        """
        return write_snapshot(_KIND, self.genesis, chosen(self._ratings, origins))

    @classmethod
    def restore(
        cls,
        seed: int,
        snapshot: object,
        policy: LossGatePolicy | None = None,
        *,
        genesis: str = "",
    ) -> Self:
        """Make a gate that goes on where another one was.

        Args:
            seed: As for a new gate; it may be another one.
            snapshot: What `snapshot` returned, perhaps by way of a file.
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

    def _moved(self, mean: float, variance: float, value: float) -> tuple[float, float]:
        """Return a moving average and its variance after one more value."""
        drift, new = value - mean, 1.0 - self._policy.memory
        return mean + new * drift, self._policy.memory * (variance + new * drift * drift)

    def _forget(self) -> list[bytes]:
        excess = len(self._ratings) - self._policy.origins_max
        if excess <= 0:
            return []
        latest = [key for key in reversed(self._ratings) if self.is_rejected(key)]
        kept = set(latest[: self._policy.origins_max // 2])
        dropped = sorted(self._ratings, key=kept.__contains__)[:excess]
        for key in dropped:
            del self._ratings[key]
        return dropped

    def _rank_in_cycle(self, cycle: int, key: bytes) -> bytes:
        label = f"{self._seed} {cycle} ".encode()
        return blake2b(label + key, digest_size=16).digest()


def _rank(key: bytes, gains: Mapping[bytes, float]) -> float:
    """Return the share of the others, one that changes nothing among them, that it leaves behind.

    Whoever changes nothing itself has the middle rank, whatever the others do.
    """
    gain = gains[key]
    if gain == 0.0:
        return _MIDDLE
    others = [other for name, other in gains.items() if name != key] + [0.0]
    behind = sum(1.0 if other < gain else 0.5 if other == gain else 0.0 for other in others)
    return behind / len(others)


def _cut(gain: float) -> float:
    return -1.0 if math.isnan(gain) else min(1.0, max(-1.0, gain))
