"""What peers of a part tell, on its way to those who watch the whole world."""

from typing import NamedTuple, final

from typing_extensions import override

from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.core.notices import Notice, RoundFinished
from sim.host import Host
from sim.troubles import trouble_of
from sim.watching import Watcher


class Told(NamedTuple):
    """What a peer told its application, or why one of its jobs failed.

    Attributes:
        at_ns: Virtual time, in nanoseconds.
        number: Of the peer.
        said: A notice, or the reason as text.
        sent_bytes: What the peer had sent by then; 0 where nobody asks.
    """

    at_ns: int
    number: int
    said: Notice | str
    sent_bytes: int


@final
class Relay(Watcher):
    """Keeps what is told until it is taken."""

    def __init__(self) -> None:
        self._told: list[Told] = []

    def take(self) -> tuple[Told, ...]:
        """Return what was told since the last time."""
        told, self._told = tuple(self._told), []
        return told

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        reason = trouble_of(event, effects)
        if reason is not None:
            self._told.append(Told(host.now_ns, host.index, reason, 0))

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        has_score = isinstance(notice, RoundFinished) and notice.evaluation is not None
        sent_bytes = host.sent_bytes if has_score else 0
        self._told.append(Told(host.now_ns, host.index, notice, sent_bytes))
