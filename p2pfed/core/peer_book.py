"""Where peers can be dialed, as they said themselves: bounded, and fair to those who told us."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, final

from msgspec import Struct

from p2pfed.identity import PeerId
from p2pfed.limits import PEER_RECORDS_MAX
from p2pfed.messages import PeerRecord
from p2pfed.wire.reading import PLAIN, Reader

_FAILURES_MAX: Final = 3  # guess: dials in vain after which a record is forgotten


class _Entry(Struct, kw_only=True):
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
        self._told: Counter[PeerId] = Counter()  # how many of them each neighbor told us
        self._news: dict[PeerId, None] = {}  # learned and not yet passed on, in order

    def set_own(self, record: PeerRecord) -> None:
        """Take the record of this peer; it is the first that others are told."""
        self._own = record
        self.forget(record.peer)

    def learn(self, records: Iterable[PeerRecord], source: PeerId) -> None:
        """Take the records that a neighbor sent, if they are newer than those known.

        Raises:
            RemoteError: If one is not signed by the peer that it names.
        """
        for record in records:
            known = self._entries.get(record.peer)
            if known is None or known.record.version < record.version:
                self._take(record, source)  # few are: what is known comes from every side

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
            self.forget(peer)

    def forget(self, peer: PeerId) -> None:
        """Forget a peer that there is no use in dialing."""
        entry = self._entries.pop(peer, None)
        if entry is None:
            return
        self._told[entry.source] -= 1
        if not self._told[entry.source]:
            del self._told[entry.source]

    def to_tell(self) -> tuple[PeerRecord, ...]:
        """Return the own record and those heard of last, as many as a frame holds."""
        own = [] if self._own is None else [self._own]
        newest = islice(reversed(self._entries.values()), PEER_RECORDS_MAX - len(own))
        return (*own, *(entry.record for entry in newest))

    def take_news(self) -> tuple[PeerRecord, ...]:
        """Return the records learned since the last call, at most a frame of the newest."""
        known = [self._entries[peer].record for peer in self._news if peer in self._entries]
        self._news.clear()
        return tuple(known[-PEER_RECORDS_MAX:])

    def _take(self, record: PeerRecord, source: PeerId) -> None:
        if record.run_id != self._run_id or (self._own and record.peer == self._own.peer):
            return
        self._reader.verify_record(record)
        self.forget(record.peer)
        self._entries[record.peer] = _Entry(record=record, source=source)
        self._told[source] += 1
        if len(self._entries) > self._records_max:
            # What is pushed out would be news when it comes again: a network of more peers than
            # are remembered would never cease to tell of them.
            self._make_room()
        else:
            self._news[record.peer] = None

    def _make_room(self) -> None:
        # Whoever told us most loses its oldest record: a neighbor that makes up peers by the
        # hundred pushes out its own inventions.
        loudest = max(sorted(self._told), key=lambda source: self._told[source])
        oldest = next(peer for peer, e in self._entries.items() if e.source == loudest)
        self.forget(oldest)
        self._news.pop(oldest, None)
