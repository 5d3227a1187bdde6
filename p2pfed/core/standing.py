"""What neighbors have earned by what they sent before, and how much they may count therefore."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from msgspec.structs import replace

from p2pfed.core.config import CoreConfig, StandingConfig
from p2pfed.core.effects import IntegrationRow, Record
from p2pfed.core.events import NO_MASS, Verdict
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.notices import ReputationLost
from p2pfed.core.outbox import Outbox
from p2pfed.core.progress import Progress
from p2pfed.core.standing_records import MemoryT, encode_changes, restore_all
from p2pfed.identity import PeerId, Signer
from p2pfed.values import Value
from robust.errors import RuleError
from robust.reputation.groups import address_block
from robust.reputation.ledger import ReputationLedger, ReputationStatus
from robust.reputation.loss_gate import LossGate
from robust.reputation.quotas import is_served
from robust.reputation.record import Observation

_LEDGER: Final = "reputation"  # areas of records
_GATE: Final = "loss-gate"
_TURNED_AWAY: Final = "loss-gate"  # why a neighbor that the gate rejects has no mass
_SEQUENCES_SERVED_MAX: Final = 2  # as `OwnUpdates.served` has at most
_WITHOUT_MASS: Final = (
    ReputationStatus.BANNED,
    ReputationStatus.STRANGER,
    ReputationStatus.UNPROVEN,
)


@final
class Place(Value):
    """What an integration is to do with one neighbor.

    Attributes:
        mass_max: Its largest share, None for no bound.
        is_probed: Whether to measure its gain.
    """

    mass_max: float | None = None
    is_probed: bool = False


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborStanding:
    """What a neighbor has earned.

    Attributes:
        peer: Who.
        status: A `ReputationStatus`, or `loss-gate` if the gate turned it away from the last
            integration.
        reputation: In [0, 1].
        mass_max: Its largest share in the last integration of this life; None if it had no row.
    """

    peer: PeerId
    status: str
    reputation: float
    mass_max: float | None


@final
class Standing:
    """The reputation of neighbors over the rounds and restarts of a run.

    What is damaged on disk is reported and begun anew: it lifts bans, but training goes on.

    An integration counts a neighbor by what was known before it: a stranger is looked at once
    before it counts at all. Each update of it is looked at once, however often its row is used.

    Args:
        config: What this peer was told.
        identity: Whose secret decides which neighbors are probed when.
        neighbors: The neighbor table.
        progress: Says which round it is.
        saved: Records of an earlier life.
        outbox: Takes what the application is told.
    """

    def __init__(
        self,
        config: CoreConfig,
        identity: Signer,
        neighbors: Neighbors,
        progress: Progress,
        saved: Mapping[str, bytes],
        outbox: Outbox,
    ) -> None:
        self._neighbors = neighbors
        self._ledger: ReputationLedger | None = None
        self._gate: LossGate | None = None
        self._progress = progress
        self._peers_max = config.limits.authors_max  # in each of the memories below
        # Who offended since it was last observed; the one that began longest ago first.
        self._offenders: dict[PeerId, None] = {}
        # Who may have an own update, by sequence; the one asked for first stands first.
        self._decided: dict[int, dict[PeerId, bool]] = {}
        self._new: dict[PeerId, None] = {}  # those whose row in the last integration was new
        self._obsolete: list[Record] = []  # what the next save removes of an earlier life
        self._masses: dict[PeerId, float] = {}  # of all that had a row in the last integration
        self._refusals: dict[PeerId, str] = {}  # why those had no mass in the last integration
        if config.standing is not None:
            self._config: StandingConfig = config.standing
            self._restore(config.run_id.hex(), identity, saved, outbox)

    # Before an integration -------------------------------------------------------------------

    def places(self, rows: Sequence[IntegrationRow]) -> list[Place]:
        """Return what the integration of this round is to do with each neighbor's row."""
        self._refusals.clear()
        # A row that is used again has shown already what it can show.
        self._new = {row.peer: None for row in rows if row.staleness == 0}
        peers = [row.peer for row in rows]
        ledger, gate = self._ledger, self._gate
        if ledger is None:
            return [Place()] * len(rows)
        round_number = self._progress.round
        # Names without a say would take the probes from the others, and be compared with them. Who
        # is worthless may be so because of the gate, and has to be tried again.
        known = [it for it in peers if ledger.status(it, round_number) not in _WITHOUT_MASS]
        news = [peer for peer in known if peer in self._new]
        probed = () if gate is None else gate.probes(round_number, news)
        rejected = () if gate is None else gate.rejected(known)
        masses = ledger.masses(round_number, peers, self._groups(peers), rejected=rejected)
        self._masses = masses
        for peer in peers:
            status = ledger.status(peer, round_number)
            if peer in rejected:
                self._refusals[peer] = _TURNED_AWAY
            elif status in _WITHOUT_MASS or status is ReputationStatus.WORTHLESS:
                self._refusals[peer] = str(status)
        return [Place(mass_max=masses[peer], is_probed=peer in probed) for peer in peers]

    # After an integration --------------------------------------------------------------------

    def explain(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """Return verdicts that say why a neighbor had no mass."""
        return tuple(
            replace(verdict, reason=self._refusals.get(verdict.peer, NO_MASS))
            if verdict.reason == NO_MASS
            else verdict
            for verdict in verdicts
        )

    def observe(self, verdicts: Sequence[Verdict]) -> tuple[Record, ...]:
        """Take in what this round's integration found, and return what must be durable of it."""
        ledger, gate = self._ledger, self._gate
        if ledger is None:
            return ()
        news = [verdict for verdict in verdicts if verdict.peer in self._new]
        records, self._obsolete = self._obsolete, []
        if gate is not None:
            gains = {it.peer: it.gain for it in news if it.gain is not None}
            probed = gate.record(self._progress.round, gains)
            records += encode_changes(_GATE, gate, probed)
        rejected = () if gate is None else gate.rejected([it.peer for it in verdicts])
        observed = ledger.observe(
            self._progress.round,
            {
                it.peer: self._observation(it, is_rejected=it.peer in rejected)
                for it in news
                if it.agreement is not None
            },
        )
        return (*records, *encode_changes(_LEDGER, ledger, observed))

    def told(self) -> tuple[NeighborStanding, ...] | None:
        """Return where neighbors stand, those connected and those of the last integration.

        Returns:
            In ascending order of peers; None without reputation.
        """
        if self._ledger is None:
            return None
        peers = sorted({*self._neighbors.greeted_peers(), *self._masses})
        return tuple(
            NeighborStanding(
                peer=peer,
                status=_TURNED_AWAY if self._refusals.get(peer) == _TURNED_AWAY else str(status),
                reputation=reputation,
                mass_max=self._masses.get(peer),
            )
            for peer, (status, reputation) in self._ledger.standings(
                self._progress.round, peers
            ).items()
        )

    # Between integrations --------------------------------------------------------------------

    def note_offence(self, peer: PeerId) -> None:
        """Take note that the next update of a peer earns nothing.

        One offence is as bad as many, which bring a ban of their own; no good messages and no
        new connection make up for it. Of `limits.authors_max` offenders the first is forgotten.
        """
        if self._ledger is None or peer in self._offenders:
            return
        if len(self._offenders) >= self._peers_max:
            del self._offenders[next(iter(self._offenders))]
        self._offenders[peer] = None

    def may_have(self, peer: PeerId, sequence: int) -> bool:
        """Return whether a neighbor has earned the own update of a sequence, counted from 1.

        What it may have of an update is decided once, or it could be refused what it was offered.
        """
        if self._ledger is None or not self._config.has_quotas:
            return True
        decided = self._decided.setdefault(sequence, {})
        if len(self._decided) > _SEQUENCES_SERVED_MAX:
            del self._decided[next(iter(self._decided))]
        if peer not in decided:
            peers = [*self._neighbors.greeted_peers(), peer]
            quotas = self._ledger.quotas(self._progress.round, peers)
            for one, quota in quotas.items():
                decided.setdefault(one, is_served(quota, sequence - 1))
            while len(decided) > self._peers_max:
                del decided[next(iter(decided))]
        return decided[peer]

    # Inside ----------------------------------------------------------------------------------

    def _restore(
        self, run_id: str, identity: Signer, saved: Mapping[str, bytes], outbox: Outbox
    ) -> None:
        """Go on where an earlier life was; reputation is worth nothing in another run."""
        config = self._config

        def restore_ledger(snapshot: object) -> ReputationLedger:
            return ReputationLedger.restore(snapshot, config.policy, genesis=run_id)

        empty = ReputationLedger(config.policy, genesis=run_id)
        self._ledger = self._restored(_LEDGER, saved, restore_ledger, empty, outbox)
        gate_policy, seed = config.loss_gate, identity.secret_number("loss gate")
        if gate_policy is None:
            return

        def restore_gate(snapshot: object) -> LossGate:
            return LossGate.restore(snapshot, seed, gate_policy, genesis=run_id)

        empty_gate = LossGate(seed, gate_policy, genesis=run_id)
        self._gate = self._restored(_GATE, saved, restore_gate, empty_gate, outbox)

    def _restored(
        self,
        area: str,
        saved: Mapping[str, bytes],
        restore: Callable[[object], MemoryT],
        empty: MemoryT,
        outbox: Outbox,
    ) -> MemoryT:
        memory, damaged, obsolete = restore_all(area, saved, restore, empty)
        self._obsolete += obsolete
        if damaged:
            count, why = len(damaged), next(iter(damaged.values()))
            what = "record of neighbors is" if count == 1 else "records of neighbors are"
            reason = f"{count} saved {what} damaged ({area}), they start anew: {why}"
            outbox.notify(ReputationLost(reason=reason))
        return memory

    def _observation(self, verdict: Verdict, *, is_rejected: bool) -> Observation:
        assert verdict.agreement is not None
        has_offended = verdict.peer in self._offenders
        self._offenders.pop(verdict.peer, None)
        return Observation(
            agreement=verdict.agreement,
            norm_ratio=verdict.norm_ratio or 0.0,
            performance=0.0 if is_rejected else None,  # a gate and not a weight
            validity=0.0 if has_offended else 1.0,
        )

    def _groups(self, peers: Sequence[PeerId]) -> dict[PeerId, tuple[str, ...]]:
        if not self._config.groups_by_address:
            return {}
        entries = [(peer, self._neighbors.get(peer)) for peer in peers]
        return {peer: _blocks(entry.remote_address) for peer, entry in entries if entry is not None}


def _blocks(multiaddress: str) -> tuple[str, ...]:
    """Return the block of addresses that a connection comes from; none if it shows no address."""
    parts = multiaddress.split("/")
    if len(parts) < 3 or parts[1] not in ("ip4", "ip6"):
        return ()
    try:
        return (address_block(parts[2]),)
    except RuleError:
        return ()  # an address that the library below writes in a way of its own
