"""One digest over everything that was delivered: equal digests, equal runs."""

from collections.abc import Callable
from typing import final

from blake3 import blake3

from p2pfed.core.events import Event, FrameReceived, TrainingFinished

# Takes an entry: time in nanoseconds, number of the peer, name, content, the event if there is one.
TraceListener = Callable[[int, int, str, bytes, Event | None], None]


@final
class Trace:
    """Folds every delivered event and every fault into one BLAKE3-256.

    Args:
        keeps_lines: Whether to keep a readable line per entry, to find where two runs part.

    Attributes:
        count: Entries so far.
        lines: The kept lines.
        listener: Is told every entry.
    """

    def __init__(self, *, keeps_lines: bool = False) -> None:
        self.count = 0
        self.lines: list[str] = []
        self.listener: TraceListener | None = None
        self._keeps_lines = keeps_lines
        self._state = blake3()

    @property
    def digest(self) -> bytes:
        """Digest of all entries so far, 32 bytes."""
        return self._state.digest()

    def add_event(self, time_ns: int, index: int, event: Event) -> None:
        """Take an event on its way to a core.

        Args:
            time_ns: Virtual time, in nanoseconds.
            index: Number of the peer.
            event: What it gets.
        """
        self._add(time_ns, index, type(event).__name__, _content(event), event)

    def add_fault(self, time_ns: int, index: int, name: str) -> None:
        """Take something that the world did to a peer."""
        self._add(time_ns, index, name, b"", None)

    def _add(
        self, time_ns: int, index: int, name: str, content: bytes, event: Event | None
    ) -> None:
        self.count += 1
        head = f"{time_ns} {index} {name} {len(content)} ".encode()
        self._state.update(head + content)
        if self._keeps_lines:
            self.lines.append(f"{time_ns} {index} {name} {blake3(content).hexdigest()[:16]}")
        if self.listener is not None:
            self.listener(time_ns, index, name, content, event)


def _content(event: Event) -> bytes:
    """Return bytes that tell an event from every other of its type."""
    match event:
        case FrameReceived():
            return event.peer + event.frame
        case TrainingFinished():  # without the payload itself, which its hash stands for
            numbers = (event.job, event.payload.size_bytes, event.loss, event.examples)
            kind = b"" if event.is_full else b"difference"
            return event.payload.content_hash + kind + repr(numbers).encode()
        case _:
            # Numbers, texts, bytes and tuples of frozen dataclasses: repr is one to one, and the
            # same in every process.
            return repr(event).encode()
