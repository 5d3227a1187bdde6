"""Sequence numbers: never two ids under one, and none on the wire before it is on disk."""

from functools import lru_cache
from typing import Final, final

from typing_extensions import override

from p2pfed.core.journal import PROGRESS_KEY
from p2pfed.core.records import decode_progress
from p2pfed.identity import PeerId
from p2pfed.messages import Announce, Deliver, SignedHeader
from p2pfed.wire import frames
from p2pfed.wire.reading import PLAIN, Reader
from sim.checkers.invariant import fail
from sim.host import Host
from sim.watching import Watcher

# Second byte of a frame, its tag: the two messages that carry an update.
_UPDATE_TAGS: Final = frozenset(
    form.tag for form in frames.FORMS if form.message in (Announce, Deliver)
)


@lru_cache(maxsize=1)  # two checkers look at each frame, and it goes to all neighbors
def carried_update(frame: bytes, reader: Reader = PLAIN) -> SignedHeader | None:
    """Return the update that a frame of a core announces or delivers, if it is such a frame.

    Args:
        frame: What a core sends.
        reader: Decodes it; the world's own has to do so anyway.
    """
    if len(frame) < 2 or frame[1] not in _UPDATE_TAGS:
        return None
    message = reader.decode(frame)
    assert isinstance(message, Announce | Deliver)
    return message.update


@final
class UniqueSequences(Watcher):
    """No (author, incarnation, sequence) of an honest peer names two updates.

    Of each author it remembers the places that were sent first last, as many as its peers remember
    headers (`limits.headers_per_author_max`): a number that is used again after that goes unseen.
    """

    def __init__(self) -> None:
        self._ids: dict[PeerId, dict[tuple[int, int], bytes]] = {}
        self._last: tuple[int, bytes] = (-1, b"")

    @override
    def frame_sent(self, host: Host, peer: PeerId, frame: bytes) -> None:
        if not host.is_honest or (host.index, frame) == self._last:
            return  # a peer sends the same bytes to all its neighbors
        self._last = (host.index, frame)
        signed = carried_update(frame, host.member.reader or PLAIN)
        if signed is None or signed.header.author != host.peer:
            return
        header = signed.header
        known = self._ids.setdefault(header.author, {})
        place = (header.incarnation, header.sequence)
        if known.setdefault(place, signed.update_id) != signed.update_id:
            fail(self, f"peer {host.index} reused sequence {header.sequence}")
        if len(known) > host.member.config.limits.headers_per_author_max:
            del known[next(iter(known))]


@final
class SavedBeforeSent(Watcher):
    """A sequence number is on disk before any frame carries it."""

    def __init__(self) -> None:
        self._last: tuple[int, bytes] = (-1, b"")
        # The last record and what it says: a peer sends much between two, but their payloads are
        # too large to remember one of each peer.
        self._decoded: tuple[bytes, tuple[int, int]] = (b"", (-1, 0))
        # By peer and incarnation, the last sequence that was: earlier lives' logs are passed on.
        self._saved: dict[tuple[int, int], int] = {}

    @override
    def frame_sent(self, host: Host, peer: PeerId, frame: bytes) -> None:
        if not host.is_honest or (host.index, frame) == self._last:
            return
        self._last = (host.index, frame)
        signed = carried_update(frame, host.member.reader or PLAIN)
        if signed is None or signed.header.author != host.peer:
            return
        incarnation, sequence = self._newest_on_disk(host)
        header = signed.header
        self._saved[host.index, incarnation] = sequence
        if header.sequence > self._saved.get((host.index, header.incarnation), 0):
            fail(
                self,
                f"peer {host.index} sent sequence {header.sequence}, on disk is {sequence} of "
                f"{'the same' if header.incarnation == incarnation else 'another'} incarnation",
            )

    def _newest_on_disk(self, host: Host) -> tuple[int, int]:
        record = host.disk.read(PROGRESS_KEY)
        if record != self._decoded[0]:
            newest = (-1, 0)
            if record:
                progress = decode_progress(record)
                sequence = 0 if progress.own is None else progress.own.header.sequence
                newest = (progress.incarnation, sequence)
            self._decoded = (record, newest)
        return self._decoded[1]
