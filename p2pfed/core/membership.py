"""Who takes part: greetings and goodbyes, signs of life, offences and bans."""

from typing import Final, final

from p2pfed.core.config import CoreConfig
from p2pfed.core.dialing import Dialing
from p2pfed.core.effects import Disconnect, Save
from p2pfed.core.events import OffenceKind
from p2pfed.core.ledger import Ledger
from p2pfed.core.neighbors import Link, Neighbors
from p2pfed.core.notices import (
    NeighborJoined,
    NeighborLost,
    NeighborUnreachable,
    PeerOffended,
    PeerRefused,
)
from p2pfed.core.outbox import Outbox
from p2pfed.core.own import OwnUpdates
from p2pfed.core.standing import Standing
from p2pfed.core.timers import TimerKind
from p2pfed.identity import PeerId, Signer
from p2pfed.limits import PROTOCOL_VERSION
from p2pfed.messages import Goodbye, GoodbyeReason, Hello, PeerRecords
from p2pfed.wire import genesis

# Failed dials after which the application is told: not the first, when the neighbor may just be
# starting, and ever more seldom.
_TOLD_ATTEMPTS: Final = frozenset({2, 4, 8, 16})


@final
class Membership:
    """Keeps the neighbor table true."""

    def __init__(
        self,
        config: CoreConfig,
        own: OwnUpdates,
        neighbors: Neighbors,
        dialing: Dialing,
        ledger: Ledger,
        standing: Standing,
        outbox: Outbox,
    ) -> None:
        self._config = config
        self._own = own
        self._neighbors = neighbors
        self._dialing = dialing
        self._ledger = ledger
        self._standing = standing
        self._outbox = outbox
        self._is_leaving = False

    # From the driver -----------------------------------------------------------------------

    def start(self, identity: Signer, now_s: float) -> None:
        """Begin to dial and to send heartbeats."""
        self._outbox.set_timer(TimerKind.HEARTBEAT, self._config.membership.heartbeat_s)
        self._dialing.start(identity, now_s)

    def handle_connected(self, peer: PeerId, now_s: float, *, remote_address: str = "") -> None:
        """Greet a peer whose connection is up, or turn it away."""
        entry = self._neighbors.get(peer)
        if entry is not None and entry.is_up:
            self.handle_disconnected(peer, "replaced by a new connection")
            entry = self._neighbors.get(peer)
        if self._is_leaving:
            self._turn_away(peer, GoodbyeReason.LEAVING, "this peer leaves the run")
            return
        if self._ledger.is_banned(peer, now_s):
            self._turn_away(peer, GoodbyeReason.BANNED, "this peer is banned here")
            return
        if entry is None:
            if self._neighbors.room <= 0:
                text = f"no more than {self._config.limits.neighbors_max} neighbors"
                self._turn_away(peer, GoodbyeReason.TOO_MANY_NEIGHBORS, text)
                return
            entry = self._neighbors.add_stranger(peer)
        self._outbox.cancel_timer(TimerKind.REDIAL, peer=peer)
        entry.link = Link.CONNECTED
        entry.remote_address = remote_address
        entry.heard_s = now_s
        self._outbox.send(peer, self._hello_to(peer))

    def handle_disconnected(self, peer: PeerId, reason: str) -> None:
        """Take a lost connection, and try again later."""
        entry = self._neighbors.get(peer)
        if entry is None or entry.link is Link.DOWN:
            return
        if entry.link is Link.GREETED:
            self._outbox.notify(NeighborLost(peer=peer, reason=reason))
        entry.link = Link.DOWN
        if entry.is_configured:
            self._dialing.schedule_redial(entry)
        else:
            self._neighbors.remove_stranger(peer)

    def handle_dial_failed(self, peer: PeerId, reason: str) -> None:
        """Take a dial in vain; the peer may have connected to us in the meantime."""
        entry = self._neighbors.get(peer)
        if entry is not None and entry.link is Link.DIALING:
            self._dialing.note_failure(peer)
            if entry.is_configured and entry.attempts in _TOLD_ATTEMPTS:
                self._outbox.notify(
                    NeighborUnreachable(peer=peer, attempts=entry.attempts, reason=reason)
                )
            self.handle_disconnected(peer, reason)

    def handle_heartbeat(self, now_s: float) -> None:
        """Drop the silent, look for more neighbors, and set the next heartbeat."""
        for entry in self._neighbors.all():
            silent_s = now_s - entry.heard_s
            if entry.is_up and silent_s > self._config.membership.suspicion_s:
                self.drop(entry.peer, f"silent for {silent_s:.1f} s")
        # Passed on once and by the heartbeat, so that a flood of records is not multiplied.
        news = self._dialing.take_news()
        if news:
            self._outbox.send_all(self._neighbors.greeted_peers(), PeerRecords(records=news))
        self._dialing.seek(now_s)
        self._outbox.set_timer(TimerKind.HEARTBEAT, self._config.membership.heartbeat_s)

    def leave(self) -> None:
        """Say goodbye to everybody, and dial and greet nobody any more."""
        self._is_leaving = True
        self._outbox.cancel_timer(TimerKind.HEARTBEAT)
        self._dialing.stop()
        for entry in self._neighbors.all():
            if entry.is_up:
                self._turn_away(entry.peer, GoodbyeReason.LEAVING, "this peer leaves the run")
                entry.link = Link.DOWN

    # From peers ----------------------------------------------------------------------------

    def on_hello(self, peer: PeerId, hello: Hello) -> bool:
        """Judge a Hello; return whether the peer is a greeted neighbor from now on."""
        entry = self._neighbors.get(peer)
        if entry is None or entry.link is not Link.CONNECTED:
            self._outbox.count("duplicate.Hello")
            return False
        if hello.version != PROTOCOL_VERSION:
            text = f"protocol version {PROTOCOL_VERSION} here, {hello.version} there"
            self.refuse(peer, GoodbyeReason.VERSION_MISMATCH, text)
            return False
        if hello.run_id != self._config.run_id:
            field_name = genesis.first_differing_field(
                self._config.genesis_fields, hello.genesis_fields
            )
            text = f"another genesis: first difference in {field_name or 'the encoding'!r}"
            self.refuse(peer, GoodbyeReason.GENESIS_MISMATCH, text)
            return False
        entry.link = Link.GREETED
        entry.attempts = 0
        entry.is_active = True
        entry.was_greeted = True
        entry.role = hello.role
        self._ledger.meet(peer, hello.incarnation)
        self._outbox.notify(NeighborJoined(peer=peer))
        self._outbox.send(peer, PeerRecords(records=self._dialing.records()))
        return True

    def on_goodbye(self, peer: PeerId, message: Goodbye) -> None:
        """Close the connection of a peer that leaves or does not want us."""
        entry = self._neighbors.get(peer)
        if entry is None:
            return
        if message.reason is GoodbyeReason.LEAVING:
            entry.is_active = False
        else:
            self._dialing.note_refusal(entry)
            text = f"it refused us ({message.reason}): {message.text}"
            self._outbox.notify(PeerRefused(peer=peer, reason=text))
        self.drop(peer, f"goodbye: {message.reason}")

    # Blame ---------------------------------------------------------------------------------

    def refuse(self, peer: PeerId, reason: GoodbyeReason, text: str) -> None:
        """Turn away a peer that cannot take part, without blame."""
        self._outbox.notify(PeerRefused(peer=peer, reason=text))
        self._turn_away(peer, reason, text)
        entry = self._neighbors.get(peer)
        if entry is not None:
            self._dialing.note_refusal(entry)
            self.handle_disconnected(peer, text)

    def offend(self, peer: PeerId, kind: OffenceKind, detail: str, now_s: float) -> None:
        """Count an offence of a peer and ban it when there are too many."""
        ban_s = self._ledger.offend(peer, now_s)
        self._standing.note_offence(peer)
        self._outbox.add(Save(records=self._ledger.take_records()))
        self._outbox.notify(PeerOffended(peer=peer, kind=kind, detail=detail, banned_s=ban_s))
        self._outbox.count(f"offence.{kind}")
        if ban_s > 0.0:
            self.expel(peer)

    def expel(self, peer: PeerId) -> None:
        """Close the connection of a banned peer and forget its updates."""
        self._neighbors.mark_gone(peer)
        entry = self._neighbors.get(peer)
        if entry is not None and entry.is_up:
            self._outbox.send(peer, Goodbye(reason=GoodbyeReason.BANNED, text="banned"))
            self.drop(peer, "banned")

    def drop(self, peer: PeerId, reason: str) -> None:
        """Close the connection to a neighbor that may come back."""
        self._outbox.add(Disconnect(peer=peer, reason=reason))
        self.handle_disconnected(peer, reason)

    # Inside --------------------------------------------------------------------------------

    def _hello_to(self, peer: PeerId) -> Hello:
        newest = self._ledger.newest(peer)
        return Hello(
            version=PROTOCOL_VERSION,
            run_id=self._config.run_id,
            genesis_bytes=self._config.genesis_bytes,
            genesis_fields=self._config.genesis_fields,
            incarnation=self._own.incarnation,
            role=self._config.role,
            software=self._config.software,
            newest_of_yours=None
            if newest is None
            else (newest.header.incarnation, newest.header.sequence),
        )

    def _turn_away(self, peer: PeerId, reason: GoodbyeReason, text: str) -> None:
        self._outbox.send(peer, Goodbye(reason=reason, text=text))
        self._outbox.add(Disconnect(peer=peer, reason=text))
