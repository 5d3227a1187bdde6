"""One peer's own book of what its neighbors have earned."""

import statistics
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, Self, final

from robust.errors import RuleError
from robust.parameters import check_mapping, check_round, check_text, shown
from robust.peers import PeerT, by_key, peer_key
from robust.reputation.masses import share_mass
from robust.reputation.policy import ReputationPolicy
from robust.reputation.record import Observation, Record
from robust.reputation.snapshot import SnapshotError, chosen, read_snapshot, write_snapshot

_KIND: Final = "reputation"
_RANGES: Final = dict.fromkeys(("earned", "agreed", "evidence"), (0.0, 1.0))
_NO_GROUPS: Final[Mapping[Any, Collection[str]]] = {}


class ReputationStatus(StrEnum):
    """Where a neighbor stands; the first four have no mass, the others what they earned."""

    BANNED = "banned"
    STRANGER = "stranger"  # never observed
    UNPROVEN = "unproven"  # observed, and has yet to show that it agrees
    WORTHLESS = "worthless"  # observed often enough, and has earned nothing: it never agreed
    NEWCOMER = "newcomer"  # on probation: it counts, within the caps of newcomers
    ESTABLISHED = "established"


_WITHOUT_MASS: Final = frozenset(
    {ReputationStatus.BANNED, ReputationStatus.STRANGER, ReputationStatus.UNPROVEN}
)


@final
class ReputationLedger:
    """Remember what each neighbor's updates showed, and derive masses, quotas and bans from it.

    In each round, ask for `masses`, integrate, and `observe` what that showed of everyone. Rounds
    are the caller's whole numbers and never go back: an observation of a round in which the
    neighbor has been observed, of an earlier one, or of a neighbor that serves a ban changes
    nothing.
    Nothing that a neighbor sends raises. Nothing is taken from what neighbors say of each other.

    A reputation starts at 0 and is earned by being observed; absence moves it down to half of the
    median at most, and never up. A newcomer, and one who served a ban, has no mass before it has
    agreed as much in sum as one at the ban level does during probation. That makes a new identity
    worth less than the old one:

    * Until the old one would have been banned, the new one never has more mass in any round,
      whatever the neighbor does. (In groups whose cap binds: not more than its part of the cap.)
    * A neighbor whose agreement stays the same never gains by it, bans included.
    * A neighbor that behaves well from now on, after its first ban, has more mass in the long run
      by serving it. From a longer ban it can escape, at the price of probation; what all newcomers
      together can do is bounded by `probation_mass_max`.

    Liars under unlinked identities that agree with the honest are bounded only by what each has
    earned: what one person may have behind several identities is up to `groups`. All bounds are
    on mass. A rule that counts rows, as a median does, sees each that has any as one more row: of
    many with little mass it may choose one, and moves towards it by no more than its pull, as
    `Integrator.integrate` says of caps.

    Of `peers_max` neighbors it remembers those seen last. A neighbor that stays away while so many
    others come is a stranger when it is back. A strike is forgotten before its time only after
    `peers_max // 2` other neighbors got strikes with bans that end later, or if more than that
    are observed in one round.

    Args:
        policy: The constants.
        genesis: What the reputations are about, such as the hash of a run's genesis; a snapshot
            of another one is refused, because reputation does not carry over to another task.

    Raises:
        RuleError: If an argument, here or of a method, is not of its type.

    Source: Xu and Lyu 2021, "A reputation mechanism is all you need: collaborative fairness and
        adversarial robustness in federated learning" (RFFL), algorithm 1: the moving average of
        cosines, the threshold and the quotas.
    Differs: each peer has its own ledger, there is no server. The cosine is that with the others,
        as `robust.agreement` says, and never negative. A ban needs ten observations and three
        below the threshold in a row, and ends; the paper removes at once and for good. It is the
        mean agreement that is judged, not the reputation, which in a newcomer is still small. The
        threshold is a third of the median if that is less than the mean: neighbors that send back
        the average of what they got agree best of all, and would lift the mean above the honest.
        Absence, probation, caps and groups are not in the paper.
    Cost: O(n log(n)) time per call for n neighbors remembered, and O(n g) for g groups in use.
    """

    __slots__ = ("_policy", "_records", "genesis")

    def __init__(self, policy: ReputationPolicy | None = None, *, genesis: str = "") -> None:
        if not isinstance(policy, ReputationPolicy | None):
            raise RuleError(f"policy={shown(policy)} is no ReputationPolicy")
        check_text(genesis, "genesis")
        self._policy = policy or ReputationPolicy()
        self._records: dict[bytes, Record] = {}
        self.genesis: Final = genesis

    def observe(
        self, round_index: int, observations: Mapping[PeerT, Observation]
    ) -> tuple[PeerT | bytes, ...]:
        """Take in what the neighbors' updates of one round showed.

        Args:
            round_index: The own round, >= 0.
            observations: One per neighbor that sent something.

        Returns:
            The neighbors about whom something else is known now, or nothing any more, in
            ascending order: what to save, by `snapshot(peers)`. They are named as they were here;
            those forgotten, who are not here, by bytes.

        Raises:
            RuleError: If the round is negative, or what is said of a neighbor no observation.
        """
        check_round(round_index)
        check_mapping(observations, "observations", of="robust.Observation")
        named = {peer_key(peer, "observations"): it for peer, it in observations.items()}
        names = {peer_key(peer): peer for peer in observations}
        for key, it in named.items():
            if not isinstance(it, Observation):
                raise RuleError(f"observations: {shown(it)} of {shown(key)} is no Observation")
        median = self._earned_median(round_index)
        observed = []
        for key in sorted(named):
            record = self._before_observation(key, round_index, median)
            if record is not None:
                self._records[key] = record.observed(round_index, named[key], self._policy)
                observed.append(key)
        self._judge(round_index, observed)
        changed = sorted({*observed, *self._forget(round_index)})
        return tuple(names.get(key, key) for key in changed)

    def reputation(self, peer: bytes | str, round_index: int) -> float:
        """Return what a neighbor has earned, in [0, 1]; 0 for a banned or an unknown one."""
        check_round(round_index)
        return self._reputation(peer_key(peer), round_index, self._rest_level(round_index))

    def is_banned(self, peer: bytes | str, round_index: int) -> bool:
        """Tell whether a neighbor serves a ban in a round."""
        check_round(round_index)
        record = self._records.get(peer_key(peer))
        return record is not None and record.is_banned(round_index)

    def is_on_probation(self, peer: bytes | str) -> bool:
        """Tell whether a neighbor has been observed too rarely to be judged."""
        record = self._records.get(peer_key(peer))
        return record is None or record.is_on_probation(self._policy)

    def status(self, peer: bytes | str, round_index: int) -> ReputationStatus:
        """Return where a neighbor stands in a round."""
        check_round(round_index)
        return self._status(peer_key(peer), round_index, self._ban_level(round_index))

    def standings(
        self, round_index: int, peers: Iterable[PeerT]
    ) -> dict[PeerT, tuple[ReputationStatus, float]]:
        """Return `status` and `reputation` of several neighbors, which is quicker together."""
        check_round(round_index)
        named = by_key(peers, "peers")
        rest_level, ban_level = self._rest_level(round_index), self._ban_level(round_index)
        return {
            peer: (
                self._status(key, round_index, ban_level),
                self._reputation(key, round_index, rest_level),
            )
            for key, peer in named.items()
        }

    def masses(
        self,
        round_index: int,
        peers: Iterable[PeerT],
        groups: Mapping[PeerT, Collection[str]] = _NO_GROUPS,
        *,
        rejected: Collection[PeerT] = (),
    ) -> dict[PeerT, float]:
        """Share the mass of one integration.

        Args:
            round_index: The own round; that of `observe`, if the neighbors were observed in it.
            peers: The neighbors whose updates are at hand.
            groups: By neighbor, the names of the groups that it is in: its address block
                (`groups.address_block`), its autonomous system, a certificate, a clique of
                `clique_names`. Neighbors in one group have at most `group_mass_max` together.
            rejected: The neighbors that a `LossGate` turns away.

        Returns:
            Each neighbor's mixing mass, >= 0; the own row's is 1 minus their sum. 0 for neighbors
            that are rejected, banned, unknown, worthless, or have yet to show that they agree.

        Raises:
            RuleError: If groups are not collections of names, or an argument is not as described.
        """
        check_round(round_index)
        named, turned_away = by_key(peers, "peers"), by_key(rejected, "rejected")
        named_groups = _by_peer(groups)
        rest_level, ban_level = self._rest_level(round_index), self._ban_level(round_index)
        reputations, newcomers = {}, set()
        for key in sorted(named.keys() - turned_away.keys()):
            status = self._status(key, round_index, ban_level)
            if status is ReputationStatus.BANNED:
                continue
            reputations[key] = self._reputation(key, round_index, rest_level)
            if status is not ReputationStatus.ESTABLISHED:
                newcomers.add(key)
            if status is ReputationStatus.UNPROVEN:
                reputations[key] = 0.0
        masses = share_mass(reputations, newcomers, named_groups, self._policy)
        return {peer: masses.get(key, 0.0) for key, peer in named.items()}

    def quotas(self, round_index: int, peers: Iterable[PeerT]) -> dict[PeerT, float]:
        """Return what part of the own updates to serve each neighbor; `quotas.py` says how.

        Returns:
            Its reputation as a share of the best one of these neighbors, at least `quota_min`; 0
            for banned ones, and `quota_min` for those who have yet to show that they agree. Where
            nobody has earned anything yet, nobody is behind: 1.
        """
        check_round(round_index)
        named = by_key(peers, "peers")
        rest_level, ban_level = self._rest_level(round_index), self._ban_level(round_index)
        earned = {
            key: 0.0
            if self._status(key, round_index, ban_level) in _WITHOUT_MASS
            else self._reputation(key, round_index, rest_level)
            for key in named
        }
        best = max(earned.values(), default=0.0)
        return {
            peer: 0.0
            if self._is_banned(key, round_index)
            else max(self._policy.quota_min, earned[key] / best if best > 0.0 else 1.0)
            for key, peer in named.items()
        }

    def snapshot(self, peers: Iterable[bytes | str] | None = None) -> dict[str, Any]:
        """Return all that `restore` needs, as JSON can hold it; only of `peers` if there are any.

        Tables of the same form add up: `{**first, "peers": {**first["peers"], **second["peers"]}}`.
        """
        return write_snapshot(_KIND, self.genesis, chosen(self._records, peers, name="peers"))

    @classmethod
    def restore(
        cls,
        snapshot: object,
        policy: ReputationPolicy | None = None,
        *,
        genesis: str = "",
    ) -> Self:
        """Make a ledger that goes on where another one was.

        Args:
            snapshot: What `snapshot` returned, perhaps by way of a file.
            policy: The constants, which may have changed.
            genesis: As for a new ledger.

        Raises:
            SnapshotError: If it is damaged or of another genesis or schema; a RuleError. The
                caller then starts with a new ledger, and says so.
        """
        ledger = cls(policy, genesis=genesis)
        ledger._records = read_snapshot(snapshot, _KIND, genesis, Record, _RANGES)
        for key, record in ledger._records.items():
            if record.first_round > record.last_round or record.agreed > record.evidence:
                raise SnapshotError(
                    f"snapshot: the values of peer {key.hex()} contradict each other"
                )
        ledger._forget(1 + max((it.last_round for it in ledger._records.values()), default=0))
        return ledger

    def _before_observation(
        self, key: bytes, round_index: int, median: float | None
    ) -> Record | None:
        """Return a neighbor's record as of now, or None if it is not to be observed."""
        policy = self._policy
        record = self._records.get(key)
        if record is None:
            return Record(first_round=round_index, last_round=round_index)
        if round_index <= record.last_round or record.is_banned(round_index):
            return None
        if median is not None:
            record = record.rested(round_index, policy.rest_ratio * median, policy)
        if record.last_round < record.banned_until:  # the first time after a ban
            record = record.released(policy.ban_exit_ratio * (median or 0.0))
        return record

    def _reputation(self, key: bytes, round_index: int, rest_level: float) -> float:
        record = self._records.get(key)
        if record is None or record.is_banned(round_index):
            return 0.0
        return record.rested(round_index, rest_level, self._policy).earned

    def _status(self, key: bytes, round_index: int, ban_level: float) -> ReputationStatus:
        record = self._records.get(key)
        if record is None:
            return ReputationStatus.STRANGER
        if record.is_banned(round_index):
            return ReputationStatus.BANNED
        if record.last_round < record.banned_until:  # not observed since its ban
            return ReputationStatus.UNPROVEN
        is_newcomer = record.is_on_probation(self._policy)
        if is_newcomer and not record.has_paid_dues(ban_level, self._policy):
            return ReputationStatus.UNPROVEN
        if record.earned == 0.0:  # it decays and is never reset: nothing was ever added
            return ReputationStatus.WORTHLESS
        return ReputationStatus.NEWCOMER if is_newcomer else ReputationStatus.ESTABLISHED

    def _is_banned(self, key: bytes, round_index: int) -> bool:
        record = self._records.get(key)
        return record is not None and record.is_banned(round_index)

    def _earned_median(self, round_index: int) -> float | None:
        """Return the median reputation of those on no probation or ban; None if there are none."""
        earned = [
            record.earned
            for record in self._records.values()
            if not record.is_on_probation(self._policy) and not record.is_banned(round_index)
        ]
        return statistics.median(earned) if earned else None

    def _rest_level(self, round_index: int) -> float:
        median = self._earned_median(round_index)
        return 1.0 if median is None else self._policy.rest_ratio * median

    def _ban_level(self, round_index: int) -> float:
        """Return the rating below which a neighbor fails; 0 if there are too few to compare."""
        oldest_round = round_index - self._policy.half_life_rounds
        ratings = [
            record.rating
            for record in self._records.values()
            if not record.is_on_probation(self._policy)
            and not record.is_banned(round_index)
            and record.last_round >= max(oldest_round, record.banned_until)
        ]
        if len(ratings) < self._policy.ban_peers_min:
            return 0.0
        return self._policy.ban_ratio * min(statistics.fmean(ratings), statistics.median(ratings))

    def _judge(self, round_index: int, observed: Iterable[bytes]) -> None:
        ban_level = self._ban_level(round_index)  # the same for all, whoever is judged first
        for key in observed:
            record = self._records[key].compared(ban_level)
            may_be_banned = not record.is_on_probation(self._policy)
            if may_be_banned and record.below_count >= self._policy.ban_streak:
                record = record.banned(round_index, self._policy)
            self._records[key] = record

    def _forget(self, round_index: int) -> list[bytes]:
        """Drop the neighbors unseen for longest, beyond what the ledger may hold; return them.

        Last of all go those observed in this round, and before them those with strikes whose bans
        end last, as many as half of the memory: the other half is for honest neighbors.
        """
        records, policy = self._records, self._policy
        excess = len(records) - policy.peers_max
        if excess <= 0:
            return []

        struck = (key for key, it in records.items() if it.strikes_left(round_index, policy) > 0)
        latest = sorted(struck, key=lambda key: (records[key].banned_until, key), reverse=True)
        kept = set(latest[: policy.peers_max // 2])

        def worth(key: bytes) -> tuple[bool, bool, int, int, bytes]:
            record = records[key]
            is_here = record.last_round >= round_index
            return is_here, key in kept, record.last_round, record.observations, key

        dropped = sorted(records, key=worth)[:excess]
        for key in dropped:
            del records[key]
        return dropped


def _by_peer(groups: Mapping[PeerT, Collection[str]]) -> dict[bytes, Collection[str]]:
    check_mapping(groups, "groups", of="names of groups")
    for names in groups.values():
        if not _are_names(names):
            raise RuleError(f"groups: {shown(names)} has to be a list of names, even of one")
    return {peer_key(peer, "groups"): names for peer, names in groups.items()}


def _are_names(value: object) -> bool:
    # A text is a collection of letters.
    if isinstance(value, str) or not isinstance(value, Collection):
        return False
    return all(isinstance(name, str) for name in value)
