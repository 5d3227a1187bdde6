"""Virtual time: a heap of (time, sequence), so that equal times keep the order of scheduling.

Times are integer nanoseconds inside the simulator and seconds at its border: sums of integers do
not depend on the order of the summands.
"""

import heapq
from collections.abc import Callable
from typing import Final, final

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

_COMPACTED_MIN: Final = 1_024  # canceled entries; fewer are not worth a look at the agenda

Action = Callable[[], None]


def nanoseconds(seconds: float) -> int:
    """Return a duration in nanoseconds, rounded to the nearest."""
    return round(seconds * NANOSECONDS_PER_SECOND)


@final
class Entry:
    """Something that will happen, unless it is canceled.

    Attributes:
        action: What to do, or None once it was done or canceled.
    """

    __slots__ = ("_clock", "action")

    def __init__(self, action: Action, clock: "Clock") -> None:
        self.action: Action | None = action
        self._clock = clock

    def cancel(self) -> None:
        """Let it not happen; late calls do no harm."""
        if self.action is not None:
            self.action = None
            self._clock.note_canceled()


@final
class Clock:
    """The one clock and agenda of a world.

    Attributes:
        now_ns: Current virtual time, in nanoseconds since the world began.
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._sequence = 0
        self._agenda: list[tuple[int, int, Entry]] = []
        self._canceled = 0  # how many entries of the agenda are

    def __len__(self) -> int:
        return len(self._agenda)

    @property
    def now_s(self) -> float:
        """Current virtual time, in seconds since the world began."""
        return self.now_ns / NANOSECONDS_PER_SECOND

    def at(self, time_ns: int, action: Action) -> Entry:
        """Do something at a time; one that is past means now, after what is due now already."""
        entry = Entry(action, self)
        self._sequence += 1
        if time_ns < self.now_ns:
            time_ns = self.now_ns
        heapq.heappush(self._agenda, (time_ns, self._sequence, entry))
        return entry

    def after(self, delay_s: float, action: Action) -> Entry:
        """Do something after a delay in seconds."""
        return self.at(self.now_ns + nanoseconds(delay_s), action)

    def next_ns(self) -> int | None:
        """Return when the next thing happens, in nanoseconds, or None if nothing will."""
        agenda = self._agenda
        while agenda and agenda[0][2].action is None:
            heapq.heappop(agenda)
            self._canceled -= 1
        return agenda[0][0] if agenda else None

    def step(self) -> bool:
        """Move to the next entry and do it; return False when there is none."""
        time_ns = self.next_ns()
        if time_ns is None:
            return False
        _, _, entry = heapq.heappop(self._agenda)
        action, entry.action = entry.action, None
        assert action is not None
        self.now_ns = time_ns
        action()
        return True

    def note_canceled(self) -> None:
        """Take that one more entry is canceled; forget them all once they are the most.

        Most timers are: those of deadlines that nobody misses would wait for theirs by the dozen
        for each peer.
        """
        self._canceled += 1
        if self._canceled >= _COMPACTED_MIN and 2 * self._canceled > len(self._agenda):
            self._agenda = [item for item in self._agenda if item[2].action is not None]
            heapq.heapify(self._agenda)
            self._canceled = 0

    def advance(self, time_ns: int) -> None:
        """Let time pass up to a moment before which nothing happens."""
        following = self.next_ns()
        assert following is None or following >= time_ns
        self.now_ns = max(self.now_ns, time_ns)
