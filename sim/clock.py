"""Virtual time: a heap of (time, sequence), so that equal times keep the order of scheduling.

Times are integer nanoseconds inside the simulator and seconds at its border: sums of integers do
not depend on the order of the summands.
"""

import heapq
from collections.abc import Callable
from typing import Final, final

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

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

    __slots__ = ("action",)

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        """Let it not happen; late calls do no harm."""
        self.action = None


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

    @property
    def now_s(self) -> float:
        """Current virtual time, in seconds since the world began."""
        return self.now_ns / NANOSECONDS_PER_SECOND

    def at(self, time_ns: int, action: Action) -> Entry:
        """Do something at a time; one that is past means now, after what is due now already."""
        entry = Entry(action)
        self._sequence += 1
        heapq.heappush(self._agenda, (max(time_ns, self.now_ns), self._sequence, entry))
        return entry

    def after(self, delay_s: float, action: Action) -> Entry:
        """Do something after a delay in seconds."""
        return self.at(self.now_ns + nanoseconds(delay_s), action)

    def next_ns(self) -> int | None:
        """Return when the next thing happens, in nanoseconds, or None if nothing will."""
        while self._agenda and self._agenda[0][2].action is None:
            heapq.heappop(self._agenda)
        return self._agenda[0][0] if self._agenda else None

    def step(self) -> bool:
        """Move to the next entry and do it; return False when there is none."""
        while self._agenda:
            time_ns, _, entry = heapq.heappop(self._agenda)
            action, entry.action = entry.action, None
            if action is None:
                continue
            self.now_ns = time_ns
            action()
            return True
        return False

    def advance(self, time_ns: int) -> None:
        """Let time pass up to a moment before which nothing happens."""
        following = self.next_ns()
        assert following is None or following >= time_ns
        self.now_ns = max(self.now_ns, time_ns)
