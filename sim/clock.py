"""Virtual time: what is due at equal times keeps the order of scheduling, after what arrives then.

What arrives at one time does so in the order of ranks, so that it makes no difference when it was
known that it would. Times are integer nanoseconds inside the simulator and seconds at its border:
sums of integers do not depend on the order of the summands.
"""

import heapq
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Final, final

NANOSECONDS_PER_SECOND: Final = 1_000_000_000
SECONDS_MAX: Final = 1e9  # thirty years; their nanoseconds have room in 64 bits

_COMPACTED_MIN: Final = 1_024  # canceled entries; fewer are not worth a look at the agenda

_LAST: Final = 1 << 62  # rank of what does not arrive
_RANK: Final = attrgetter("rank")

Action = Callable[[], None]


def nanoseconds(seconds: float) -> int:
    """Return a duration in nanoseconds, rounded to the nearest."""
    return round(seconds * NANOSECONDS_PER_SECOND)


@final
class Entry:
    """Something that will happen, unless it is canceled.

    Attributes:
        action: What to do, or None once it was done or canceled.
        rank: What is due at the same time and has a lower one comes first.
    """

    __slots__ = ("_clock", "action", "rank")

    def __init__(self, action: Action, clock: "Clock", rank: int) -> None:
        self.action: Action | None = action
        self.rank = rank
        self._clock = clock

    def cancel(self) -> None:
        """Let it not happen; late calls do no harm."""
        if self.action is not None:
            self.action = None
            self._clock.note_canceled()


@final
class Clock:
    """The one clock and agenda of a world.

    Entries that are due at the same time wait in one list: neighbors get a frame at one time, and
    only times, which are half as many as entries, have to be sorted.

    Attributes:
        now_ns: Current virtual time, in nanoseconds since the world began.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._now: deque[Entry] = deque()  # due now, in order
        self._later: dict[int, list[Entry]] = {}  # due at later times, each in order
        self._times: list[int] = []  # those times, as a heap
        self._length = 0
        self._canceled = 0  # how many entries of the agenda are

    def __len__(self) -> int:
        return self._length

    @property
    def now_s(self) -> float:
        """Current virtual time, in seconds since the world began."""
        return self.now_ns / NANOSECONDS_PER_SECOND

    def at(self, time_ns: int, action: Action, rank: int = _LAST) -> Entry:
        """Do something at a time; one that is past means now, after what is due now already.

        Args:
            time_ns: When, in nanoseconds.
            action: What.
            rank: Of something that arrives.
        """
        entry = Entry(action, self, rank)
        self._length += 1
        if time_ns <= self.now_ns:
            self._now.append(entry)
        elif (waiting := self._later.get(time_ns)) is not None:
            waiting.append(entry)
        else:
            self._later[time_ns] = [entry]
            heapq.heappush(self._times, time_ns)
        return entry

    def after(self, delay_s: float, action: Action) -> Entry:
        """Do something after a delay in seconds."""
        return self.at(self.now_ns + nanoseconds(delay_s), action)

    def next_ns(self) -> int | None:
        """Return when the next thing happens, in nanoseconds, or None if nothing will."""
        if any(entry.action is not None for entry in self._now):
            return self.now_ns
        while self._times:
            time_ns = self._times[0]
            if any(entry.action is not None for entry in self._later[time_ns]):
                return time_ns
            self._drop(time_ns)
        return None

    def step(self, until_ns: int | None = None) -> bool:
        """Move to the next entry and do it; return False when there is none.

        Args:
            until_ns: Entries later than this stay; None for all times.
        """
        if until_ns is not None and until_ns < self.now_ns:
            return False
        while True:
            while self._now:
                entry = self._now.popleft()
                self._length -= 1
                action = entry.action
                if action is not None:
                    entry.action = None
                    action()
                    return True
                self._canceled -= 1
            time_ns = self.next_ns()
            if time_ns is None or (until_ns is not None and time_ns > until_ns):
                return False
            self.now_ns = heapq.heappop(self._times)
            entries = self._later.pop(time_ns)
            if len(entries) > 1:
                entries.sort(key=_RANK)
            self._now.extend(entries)

    def note_canceled(self) -> None:
        """Take that one more entry is canceled; forget them all once they are the most.

        Most timers are: those of deadlines that nobody misses would wait for theirs by the dozen
        for each peer.
        """
        self._canceled += 1
        if self._canceled >= _COMPACTED_MIN and 2 * self._canceled > self._length:
            self._compact()

    def advance(self, time_ns: int) -> None:
        """Let time pass up to a moment until which nothing happens."""
        following = self.next_ns()
        assert following is None or following > time_ns
        self.now_ns = max(self.now_ns, time_ns)

    def _drop(self, time_ns: int) -> None:
        """Forget the first of the later times, whose entries are all canceled."""
        heapq.heappop(self._times)
        dropped = len(self._later.pop(time_ns))
        self._length -= dropped
        self._canceled -= dropped

    def _compact(self) -> None:
        self._now = deque(entry for entry in self._now if entry.action is not None)
        for time_ns, entries in list(self._later.items()):
            alive = [entry for entry in entries if entry.action is not None]
            if alive:
                self._later[time_ns] = alive
            else:
                del self._later[time_ns]
        self._times = list(self._later)
        heapq.heapify(self._times)
        self._canceled = 0
        self._length = len(self._now) + sum(map(len, self._later.values()))
