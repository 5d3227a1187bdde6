"""Where peers can be dialed, as they said themselves: bounded, and fair to those who told us."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from p2pfed.identity import PeerId
from p2pfed.limits import PEER_RECORDS_MAX
from p2pfed.messages import PeerRecord
from p2pfed.wire.reading import PLAIN, Reader

_FAILURES_MAX: Final = 3  # guess: dials in vain after which a record is forgotten


@dataclass(slots=True, kw_only=True)
class _Entry:
    record: PeerRecord
    source: PeerId
    failures: int = 0


@final
class PeerBook:
    """Signed peer records, the one heard of longest ago first.

    Args:
        run_id: Records of other runs are not taken.
        records_max: How many others are remembered.
        reader: Checks signatures.
    """

    def __init__(self, run_id: bytes, records_max: int, reader: Reader = PLAIN) -> None:
        self._run_id = run_id
        self._records_max = records_max
        self._reader = reader
        self._own: PeerRecord | None = None
        self._entries: dict[PeerId, _Entry] = {}
        self._news: dict[PeerId, None] = {}  # learned and not yet passed on, in order

    def set_own(self, record: PeerRecord) -> None:
        """Take the record of this peer; it is the first that others are told."""
        self._own = record
        self._entries.pop(record.peer, None)

    def learn(self, record: PeerRecord, source: PeerId) -> None:
        """Take a record that a neighbor sent, if it is newer than the one known.

        Raises:
            RemoteError: If it is not signed by the peer that it names.
        """
        if record.run_id != self._run_id or (self._own and record.peer == self._own.peer):
            return
        known = self._entries.get(record.peer)
        if known is not None and known.record.version >= record.version:
            return
        self._reader.verify_record(record)
        self._entries.pop(record.peer, None)
        self._entries[record.peer] = _Entry(record=record, source=source)
        self._news[record.peer] = None
        if len(self._entries) > self._records_max:
            self._make_room()

    def addresses(self, peer: PeerId) -> tuple[str, ...]:
        """Return where a peer said that it can be dialed."""
        entry = self._entries.get(peer)
        return () if entry is None else entry.record.addresses

    def choose(
        self, count: int, generator: random.Random, *, allowed: Callable[[PeerId], bool]
    ) -> list[PeerId]:
        """Return up to `count` peers to dial, picked at random among those allowed."""
        if count <= 0:
            return []
        candidates = [
            peer
            for peer in sorted(self._entries)
            if self._entries[peer].record.addresses and allowed(peer)
        ]
        return generator.sample(candidates, k=min(count, len(candidates)))

    def dial_failed(self, peer: PeerId) -> None:
        """Count a dial in vain, and forget a peer that cannot be reached."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        entry.failures += 1
        if entry.failures >= _FAILURES_MAX:
            del self._entries[peer]

    def forget(self, peer: PeerId) -> None:
        """Forget a peer that there is no use in dialing."""
        self._entries.pop(peer, None)

    def to_tell(self) -> tuple[PeerRecord, ...]:
        """Return the own record and those heard of last, as many as a frame holds."""
        newest = [entry.record for entry in reversed(self._entries.values())]
        own = [] if self._own is None else [self._own]
        return tuple([*own, *newest][:PEER_RECORDS_MAX])

    def take_news(self) -> tuple[PeerRecord, ...]:
        """Return the records learned since the last call, at most a frame of the newest."""
        known = [self._entries[peer].record for peer in self._news if peer in self._entries]
        self._news.clear()
        return tuple(known[-PEER_RECORDS_MAX:])

    def _make_room(self) -> None:
        # Whoever told us most loses its oldest record: a neighbor that makes up peers by the
        # hundred pushes out its own inventions.
        told = Counter(entry.source for entry in self._entries.values())
        loudest = max(sorted(told), key=lambda source: told[source])
        oldest = next(peer for peer, e in self._entries.items() if e.source == loudest)
        del self._entries[oldest]
        self._news.pop(oldest, None)
