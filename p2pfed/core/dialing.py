"""Whom to dial, and when again: configured neighbors for good, others while some are wanted."""

import random
from typing import Final, final

from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import Dial
from p2pfed.core.ledger import Ledger
from p2pfed.core.neighbors import Link, Neighbor, Neighbors
from p2pfed.core.outbox import Outbox
from p2pfed.core.peer_book import PeerBook
from p2pfed.core.timers import TimerKind
from p2pfed.identity import PeerId, Signer
from p2pfed.messages import PeerRecord, PeerRecords
from p2pfed.wire import headers
from p2pfed.wire.reading import Reader

# A configured neighbor of another run may be restarted with the right one, but not soon.
_REFUSED_ATTEMPTS: Final = 6  # guess: the pause is then 64 times the first
_ATTEMPTS_MAX: Final = 32  # 2**32 times any pause is beyond the longest


@final
class Dialing:
    """Decides on connections that this peer opens."""

    def __init__(
        self,
        config: CoreConfig,
        neighbors: Neighbors,
        ledger: Ledger,
        outbox: Outbox,
        generator: random.Random,
        reader: Reader,
    ) -> None:
        self._config = config.membership
        self._neighbors = neighbors
        self._ledger = ledger
        self._outbox = outbox
        self._random = generator
        self._run_id = config.run_id
        self._book = PeerBook(config.run_id, config.limits.known_peers_max, reader)
        self._is_over = False

    def start(self, identity: Signer, now_s: float) -> None:
        """Make the own record and dial the configured neighbors."""
        record = headers.sign_record(
            run_id=self._run_id,
            version=max(int(now_s * 1000.0), 1),
            addresses=self._config.announce,
            identity=identity,
        )
        self._book.set_own(record)
        for entry in self._neighbors.all():
            if entry.link is not Link.DOWN:
                continue
            if entry.peer > identity.peer:
                self._dial(entry)
            else:
                # One of two peers that both start dials first, which spares a double dial.
                self.schedule_redial(entry)

    def stop(self) -> None:
        """Dial nobody any more."""
        self._is_over = True
        for entry in self._neighbors.all():
            self._outbox.cancel_timer(TimerKind.REDIAL, peer=entry.peer)

    def records(self) -> tuple[PeerRecord, ...]:
        """Return what a new neighbor is told about others."""
        return self._book.to_tell()

    def on_peer_records(self, peer: PeerId, message: PeerRecords) -> None:
        """Learn where others can be dialed.

        Raises:
            RemoteError: If a record is not signed by the peer that it names.
        """
        self._book.learn(message.records, source=peer)

    def take_news(self) -> tuple[PeerRecord, ...]:
        """Return the records to pass on that were learned since the last call."""
        return self._book.take_news()

    def note_failure(self, peer: PeerId) -> None:
        """Take note that a dial was in vain."""
        self._book.dial_failed(peer)

    def note_refusal(self, entry: Neighbor) -> None:
        """Take note that one of two peers does not want the other."""
        self._book.forget(entry.peer)
        entry.attempts = max(entry.attempts, _REFUSED_ATTEMPTS)

    def handle_redial(self, peer: PeerId, now_s: float) -> None:
        """Dial again when a pause is over."""
        entry = self._neighbors.get(peer)
        if entry is None or entry.link is not Link.DOWN:
            return
        if self._ledger.is_banned(peer, now_s):
            self.schedule_redial(entry)
        else:
            self._dial(entry)

    def schedule_redial(self, entry: Neighbor) -> None:
        """Dial a configured neighbor again after a pause that grows with each failure."""
        if self._is_over:
            return
        pause_s = min(self._config.redial_s_min * 2.0**entry.attempts, self._config.redial_s_max)
        # Jitter keeps the peers of a restarted network from dialing in step.
        pause_s *= 0.5 + self._random.random()
        self._outbox.set_timer(TimerKind.REDIAL, pause_s, peer=entry.peer)

    def seek(self, now_s: float) -> None:
        """Dial peers learned from others while fewer neighbors are there than wanted."""
        there = sum(1 for entry in self._neighbors.all() if entry.link is not Link.DOWN)
        missing = min(self._config.neighbors_wanted - there, self._neighbors.room)
        chosen = self._book.choose(
            missing,
            self._random,
            allowed=lambda peer: (
                self._neighbors.get(peer) is None and not self._ledger.is_banned(peer, now_s)
            ),
        )
        for peer in chosen:
            self._dial(self._neighbors.add_stranger(peer))

    def _dial(self, entry: Neighbor) -> None:
        entry.attempts = min(entry.attempts + 1, _ATTEMPTS_MAX)
        # As configured first; what it said itself helps when it has moved.
        addresses = dict.fromkeys((*entry.addresses, *self._book.addresses(entry.peer)))
        if addresses:
            entry.link = Link.DIALING
            self._outbox.add(Dial(peer=entry.peer, addresses=tuple(addresses)))
        else:
            self.schedule_redial(entry)  # others may tell us in the meantime
