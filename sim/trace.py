"""One digest over everything that was delivered: equal digests, equal runs.

What each peer gets is chained by itself, in its order, with the times: what happens at two peers at
one time has no order.
"""

from collections.abc import Callable, Mapping
from typing import final

from blake3 import blake3

from p2pfed.core.events import Event, FrameReceived, TrainingFinished
from p2pfed.wire.hashes import content_hash
from sim.reading import FRAME_BYTES_MAX, Recent

# Takes an entry: time in nanoseconds, number of the peer, name, content, the event if there is one.
TraceListener = Callable[[int, int, str, bytes, Event | None], None]


@final
class Trace:
    """Folds every delivered event and every fault into one BLAKE3-256 for each peer.

    Frames and payloads are taken by their hashes.

    Args:
        keeps_lines: Whether to keep a readable line per entry, to find where two runs part.

    Attributes:
        count: Entries so far.
        shared_count: Those among them of what the world did to several peers.
        digests: By number of the peer; -1 for what the world did to several.
        lines: The kept lines.
        listener: Is told every entry.
    """

    def __init__(self, *, keeps_lines: bool = False) -> None:
        self.count = 0
        self.shared_count = 0
        self.lines: list[str] = []
        self.listener: TraceListener | None = None
        self._keeps_lines = keeps_lines
        self.digests: dict[int, bytes] = {}
        self._frames: Recent[bytes, bytes] = Recent(FRAME_BYTES_MAX)  # hashes of the last ones

    @property
    def digest(self) -> bytes:
        """Digest of all entries so far, 32 bytes."""
        return joint_digest(self.digests)

    def add_event(self, time_ns: int, index: int, event: Event) -> None:
        """Take an event on its way to a core.

        Args:
            time_ns: Virtual time, in nanoseconds.
            index: Number of the peer.
            event: What it gets.
        """
        self._add(time_ns, index, type(event).__name__, self._content(event), event)

    def add_fault(self, time_ns: int, index: int, name: str) -> None:
        """Take something that the world did to a peer, or with the index -1 to several."""
        if index < 0:
            self.shared_count += 1
        self._add(time_ns, index, name, b"", None)

    def _add(
        self, time_ns: int, index: int, name: str, content: bytes, event: Event | None
    ) -> None:
        self.count += 1
        head = f"{time_ns} {index} {name} {len(content)} ".encode()
        before = self.digests.get(index, b"")
        self.digests[index] = blake3(before + head + content).digest()
        if self._keeps_lines:
            self.lines.append(f"{time_ns} {index} {name} {blake3(content).hexdigest()[:16]}")
        if self.listener is not None:
            self.listener(time_ns, index, name, content, event)

    def _content(self, event: Event) -> bytes:
        """Return bytes that tell an event from every other of its type."""
        match event:
            case FrameReceived():  # without the frame itself, which reaches several peers
                return event.peer + self._frame_hash(event.frame)
            case TrainingFinished():  # without the payload itself, which its hash stands for
                numbers = (event.job, event.payload.size_bytes, event.loss, event.examples)
                kind = b"" if event.is_full else b"difference"
                return event.payload.content_hash + kind + repr(numbers).encode()
            case _:
                # Numbers, texts, bytes and tuples of structs: repr is one to one, and the same in
                # every process.
                return repr(event).encode()

    def _frame_hash(self, frame: bytes) -> bytes:
        known = self._frames.get(frame)
        if known is None:
            known = content_hash(frame)
            self._frames.put(frame, known, len(frame))
        return known


def joint_digest(digests: Mapping[int, bytes]) -> bytes:
    """Return the digest of a whole world, 32 bytes, from those of its peers."""
    state = blake3()
    for index, digest in sorted(digests.items()):
        state.update(f"{index} ".encode() + digest)
    return state.digest()
