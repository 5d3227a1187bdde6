"""Traces as lines that can be kept and compared: one per event and fault."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, final

from blake3 import blake3
from typing_extensions import override

from p2pfed.core.events import Event
from p2pfed.errors import ConfigError
from p2pfed.identity import PeerId
from sim.line_files import read_lines
from sim.trace_words import words_of
from sim.watching import Watcher
from sim.world import World

CONTEXT_ENTRIES: Final = 3  # shown before and after where two traces part
_DIGEST_CHARACTERS: Final = 16  # as in the kept lines of a trace

Entry = Mapping[str, Any]

# What makes two entries the same; `what` is for people.
_FIELDS: Final = ("number", "at_ns", "peer", "name", "content")


@final
class TraceRecorder(Watcher):
    """Tells every entry of a world's trace, as an object that JSON knows.

    `number` counts from 1, `at_ns` is virtual time in nanoseconds, `peer` a number (-1 for the
    world), `name` that of the event or fault, `content` the beginning of the BLAKE3-256 of its
    content, and `what` says for people what that is.

    Args:
        take: Takes each entry.
    """

    def __init__(self, take: Callable[[Entry], None]) -> None:
        self._take = take
        self._count = 0
        self._numbers: dict[PeerId, int] = {}

    @override
    def world_began(self, world: World) -> None:
        self._numbers = {host.peer: host.index for host in world.hosts}
        world.trace.listener = self._tell

    def _tell(self, at_ns: int, peer: int, name: str, content: bytes, event: Event | None) -> None:
        self._count += 1
        self._take(
            {
                "number": self._count,
                "at_ns": at_ns,
                "peer": peer,
                "name": name,
                "content": blake3(content).hexdigest()[:_DIGEST_CHARACTERS],
                "what": "" if event is None else words_of(event, self._numbers),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """Where two traces part.

    Attributes:
        number: Of the first entry that differs.
        before: The last entries that are the same.
        first: What follows in the first trace, from that entry on; empty where it ends.
        second: The same of the second one.
    """

    number: int
    before: tuple[Entry, ...]
    first: tuple[Entry, ...]
    second: tuple[Entry, ...]


@final
class TraceComparer:
    """Finds where a trace that is told entry by entry parts from a kept one.

    Args:
        kept: Entries of the first trace, in order.
    """

    def __init__(self, kept: Iterable[Entry]) -> None:
        self._kept: Iterator[Entry] = iter(kept)
        self._before: deque[Entry] = deque(maxlen=CONTEXT_ENTRIES)
        self._count = 0
        self._first: tuple[Entry, ...] | None = None  # since the traces have parted
        self._second: list[Entry] = []

    def take(self, entry: Entry) -> None:
        """Take the next entry of the second trace."""
        if self._first is not None:
            if len(self._second) < CONTEXT_ENTRIES:
                self._second.append(entry)
            return
        self._count += 1
        kept = next(self._kept, None)
        if kept is not None and all(kept.get(name) == entry[name] for name in _FIELDS):
            self._before.append(entry)
            return
        self._part(kept)
        self._second.append(entry)

    def finish(self) -> Parting | None:
        """Return where the traces part, the second one being over; None if they are the same."""
        if self._first is None:
            kept = next(self._kept, None)
            if kept is None:
                return None
            self._count += 1
            self._part(kept)
        assert self._first is not None
        return Parting(
            number=self._count,
            before=tuple(self._before),
            first=self._first,
            second=tuple(self._second),
        )

    def _part(self, kept: Entry | None) -> None:
        following = islice(self._kept, CONTEXT_ENTRIES - 1)
        self._first = () if kept is None else (kept, *following)


def read_trace(path: Path) -> Iterator[Entry]:
    """Yield the entries of a kept trace.

    Raises:
        ConfigError: If the file cannot be read, or is none.
    """
    for number, entry in enumerate(read_lines(path), start=1):
        if not entry.keys() >= {*_FIELDS, "what"}:
            fix = f"line {number} is of no trace; name a file that p2pfed sim run --trace wrote"
            raise ConfigError("trace", str(path), fix)
        yield entry


def parting_of(first: Iterable[Entry], second: Iterable[Entry]) -> Parting | None:
    """Return where two kept traces part; None if they are the same."""
    comparer = TraceComparer(first)
    for entry in second:
        comparer.take(entry)
    return comparer.finish()
