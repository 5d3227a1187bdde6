"""One direction of an edge: latency, bandwidth shared by all that flows over it, loss, clogging.

The model is TCP seen from above: everything arrives once and in order. What is lost arrives later,
and what was sent after it waits for it (head-of-line blocking), since libp2p carries all streams
of two peers over one TCP connection. All frames share one stream; each transfer has its own, which
a node reads in a task of its own, so that it may learn of one later than of frames behind it.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, assert_never, final

from msgspec import Struct

from sim.clock import NANOSECONDS_PER_SECOND, Clock, Entry, nanoseconds
from sim.packets import Packet

SEGMENT_BYTES: Final = 1_448  # Ethernet's 1,500 less IPv4, TCP and timestamps
RETRANSMISSION_S_MIN: Final = 0.2  # Linux, TCP_RTO_MIN
RETRANSMISSIONS_MAX: Final = 8  # guess: 0.2 s doubled eight times is near a minute

_DEVIATIONS_BELOW_MAX: Final = 2.0  # guess: of a delay's logarithm; one draw in 44 is below

# What p2pfed's framing (4), Yamux (12) and Noise (2 + 16) add to a frame or a chunk.
OVERHEAD_BYTES: Final = 34


class Latency(StrEnum):
    """How one-way delays spread.

    CONSTANT: All are `latency_s`.
    UNIFORM: From `latency_s` less to more a share, `spread_ratio`.
    LOGNORMAL: With the median `latency_s`; `spread_ratio` is the standard deviation of the
        logarithm, so that two thirds are within a factor of e to its power. Those more than two of
        it below are two below: no message is faster than the way allows.
    """

    CONSTANT = "constant"
    UNIFORM = "uniform"
    LOGNORMAL = "lognormal"


class Drawn(StrEnum):
    """What has a delay of its own: each edge, for good, or each message."""

    EDGE = "edge"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkModel:
    """How one edge of the graph behaves, in each direction.

    Attributes:
        latency_s: One-way delay, in seconds.
        bandwidth_bytes_per_s: Bytes per second, shared by frames and payloads; None for no bound.
        loss_ratio: Chance of a segment of 1,448 bytes to be lost, from 0 to below 1.
        latency: How delays spread around `latency_s`.
        spread_ratio: How far; see `Latency`.
        drawn: What has a delay of its own. Messages never overtake each other on one edge.
        queue_bytes_max: Bytes that wait to be sent; a frame that finds no room resets the
            connection, as a node does. None for no bound.
        reordering_s: By how much longer at most what has a stream of its own is on its way than
            frames, in seconds: a request for a payload, and the end of its transfer. Each draws
            its own; later frames, and the end of the connection, may overtake it.
    """

    latency_s: float = 0.02  # guess: two homes in one country
    bandwidth_bytes_per_s: float | None = None
    loss_ratio: float = 0.0
    latency: Latency = Latency.CONSTANT
    spread_ratio: float = 0.0
    drawn: Drawn = Drawn.EDGE
    queue_bytes_max: int | None = None
    reordering_s: float = 0.0

    @property
    def latency_s_min(self) -> float:
        """What no one-way delay is below, in seconds."""
        if self.drawn is Drawn.EDGE or self.latency is Latency.CONSTANT:
            return self.latency_s
        if self.latency is Latency.UNIFORM:
            return max(0.0, self.latency_s * (1.0 - self.spread_ratio))
        return self._lognormal_s_min

    @property
    def _lognormal_s_min(self) -> float:
        return self.latency_s * math.exp(-_DEVIATIONS_BELOW_MAX * self.spread_ratio)

    def draw_latency_s(self, generator: random.Random) -> float:
        """Draw a one-way delay, in seconds."""
        match self.latency:
            case Latency.CONSTANT:
                return self.latency_s
            case Latency.UNIFORM:
                share = 2.0 * generator.random() - 1.0
                return max(0.0, self.latency_s * (1.0 + self.spread_ratio * share))
            case Latency.LOGNORMAL:
                drawn_s = self.latency_s * generator.lognormvariate(0.0, self.spread_ratio)
                return max(self._lognormal_s_min, drawn_s)
            case _:
                assert_never(self.latency)


@final
class AccessLine:
    """One direction of a peer's line to the network, which all its edges share.

    Args:
        bandwidth_bytes_per_s: Bytes per second; None for no bound.
    """

    def __init__(self, bandwidth_bytes_per_s: float | None = None) -> None:
        self.bandwidth_bytes_per_s = bandwidth_bytes_per_s
        self._busy: list[tuple[int, int]] = []  # from when to when, ascending and apart

    def carry(self, size_bytes: int, start_ns: int, *, now_ns: int) -> int:
        """Return when something has passed, in nanoseconds.

        Args:
            size_bytes: Its size.
            start_ns: When it is there. What is there earlier goes first, although it came later: an
                edge that is slow or clogged keeps no other one waiting.
            now_ns: Current time; nothing will have been there before.
        """
        if self.bandwidth_bytes_per_s is None:
            return start_ns
        while self._busy and self._busy[0][1] < now_ns:
            del self._busy[0]
        pace_ns = _pace_ns(size_bytes, self.bandwidth_bytes_per_s)
        place = 0
        for begin_ns, end_ns in self._busy:
            if start_ns + pace_ns <= begin_ns:
                break
            start_ns = max(start_ns, end_ns)
            place += 1
        self._occupy(place, start_ns, start_ns + pace_ns)
        return start_ns + pace_ns

    def give_back(self, size_bytes: int, passed_ns: int) -> None:
        """Free the time that something would take which is not sent after all.

        What comes later may use it. What is to pass after it already stays where it is, as other
        edges have promised when.

        Args:
            size_bytes: Its size.
            passed_ns: When it would have passed, as `carry` said.
        """
        if self.bandwidth_bytes_per_s is None:
            return
        from_ns = passed_ns - _pace_ns(size_bytes, self.bandwidth_bytes_per_s)
        for place, (begin_ns, end_ns) in enumerate(self._busy):
            if begin_ns <= from_ns < passed_ns <= end_ns:
                rest = ((begin_ns, from_ns), (passed_ns, end_ns))
                self._busy[place : place + 1] = [it for it in rest if it[0] < it[1]]
                break

    def _occupy(self, place: int, begin_ns: int, end_ns: int) -> None:
        """Insert a time at a place, and make one of those that touch."""
        busy = self._busy
        if place < len(busy) and busy[place][0] == end_ns:
            end_ns = busy.pop(place)[1]
        if place > 0 and busy[place - 1][1] == begin_ns:
            busy[place - 1] = (busy[place - 1][0], end_ns)
        else:
            busy.insert(place, (begin_ns, end_ns))


# Takes when something arrives, in nanoseconds, what, and its size with overhead; or instead of it
# None, if what was sent last was thrown away.
Ship = Callable[[int, Packet | None, int], None]


class _Item(Struct, eq=False):
    """Something that was sent and did not arrive.

    Attributes:
        packet: What it is.
        size_bytes: With its overhead.
        passed_ns: When it has passed the line of who sends, for `AccessLine.give_back`.
        left_ns: When its last byte leaves.
        arrival_ns: When it arrives, unless nothing gets through then.
        entry: Lets something arrive at that time; None if that happens elsewhere.
    """

    packet: Packet
    size_bytes: int
    passed_ns: int
    left_ns: int
    arrival_ns: int
    entry: Entry | None


@final
class Wire:
    """One direction of an edge.

    Args:
        model: How it behaves.
        clock: The world's.
        generator: Makes one of random numbers for a purpose, once the first of them is drawn: at
            the peer that sends `loss`, of losses and delays, and at the other one `lag`.
        deliver: Takes what arrives.
        rank: Of what arrives, among all that does at one time.
        ship: Takes what arrives elsewhere, where another wire lets it land.
        up: Of the peer that sends.
        down: Of the peer that receives.

    Attributes:
        model: How it behaves.
        is_blocked: Whether nothing gets through now; what arrives waits for the end of that.
        sent_bytes: Everything sent so far with its overhead; retransmissions, and what was thrown
            away before its last byte had left, not counted.
    """

    def __init__(
        self,
        model: LinkModel,
        clock: Clock,
        generator: Callable[[str], random.Random],
        deliver: Callable[[Packet], None],
        *,
        rank: int = 0,
        ship: Ship | None = None,
        up: AccessLine | None = None,
        down: AccessLine | None = None,
    ) -> None:
        self.model = model
        self.is_blocked = False
        self.sent_bytes = 0
        self._clock = clock
        self._make_random = generator
        self._generators: dict[str, random.Random] = {}  # by purpose; most edges draw nothing
        self._deliver = deliver
        self._rank = rank
        self._ship = ship
        self._up = up or AccessLine()
        self._down = down or AccessLine()
        self._free_ns = 0  # when the last byte accepted so far has left
        self._clogged_ns = 0  # until when nothing leaves
        self._arrival_ns = 0  # when the last thing accepted so far arrives
        self._passed_ns = 0  # when the last thing that arrived has passed the line of who receives
        # Sent and not delivered, in order: a few, and an empty deque takes 760 bytes.
        self._flying: list[_Item] = []
        self._held = 0  # how many of them arrived while nothing got through
        # If it is the same for all messages: the network has drawn it.
        is_fixed = model.drawn is Drawn.EDGE
        self._fixed_ns = nanoseconds(model.latency_s) if is_fixed else None

    @property
    def free_ns(self) -> int:
        """When everything accepted so far has left, in nanoseconds; may be past."""
        return self._free_ns

    @property
    def is_clogged(self) -> bool:
        """Whether nothing leaves now."""
        return self._clock.now_ns < self._clogged_ns

    def has_room(self, size_bytes: int) -> bool:
        """Return whether something of a size, without overhead, may wait to be sent."""
        limit = self.model.queue_bytes_max
        if limit is None:
            return True
        now_ns = self._clock.now_ns
        waiting = sum(item.size_bytes for item in self._flying if item.left_ns > now_ns)
        return waiting + size_bytes + OVERHEAD_BYTES <= limit

    def send(self, packet: Packet, size_bytes: int) -> int:
        """Send something.

        Args:
            packet: What.
            size_bytes: Its size without overhead.

        Returns:
            When its last byte has left, in nanoseconds.
        """
        size_bytes += OVERHEAD_BYTES
        self.sent_bytes += size_bytes
        now_ns = self._clock.now_ns
        start_ns = max(now_ns, self._free_ns)
        bandwidth = self.model.bandwidth_bytes_per_s
        pace_ns = 0 if bandwidth is None else _pace_ns(size_bytes, bandwidth)
        passed_ns = self._up.carry(size_bytes, start_ns, now_ns=now_ns)
        self._free_ns = max(start_ns + pace_ns, passed_ns)
        late_ns = self._lateness_ns(size_bytes) if self.model.loss_ratio > 0.0 else 0
        time_ns = self._free_ns + self._latency_ns() + late_ns
        self._arrive_at(time_ns, packet, size_bytes, passed_ns)
        return self._free_ns

    def stream_lag_s(self) -> float:
        """Draw how much later than frames something on a stream of its own is taken, in seconds."""
        most_s = self.model.reordering_s
        return most_s * self._generator("lag").random() if most_s > 0.0 else 0.0

    def signal(self, packet: Packet) -> None:
        """Send something without weight, in order: the end of a connection or transfer."""
        time_ns = max(self._clock.now_ns, self._free_ns) + self._latency_ns()
        self._arrive_at(time_ns, packet, 0, 0)

    def clog(self, until_ns: int) -> None:
        """Take nothing until a time, in nanoseconds, and then all."""
        self._clogged_ns = max(self._clogged_ns, until_ns)
        self._free_ns = max(self._free_ns, until_ns)

    def throw_away(self) -> None:
        """Forget what waits to be sent: its connection is reset, or its machine goes dark."""
        now_ns = self._clock.now_ns
        while self._flying and self._flying[-1].left_ns > now_ns:
            item = self._flying.pop()
            self.sent_bytes -= item.size_bytes
            self._up.give_back(item.size_bytes, item.passed_ns)
            if item.entry is not None:
                item.entry.cancel()
            elif self._ship is not None:
                self._ship(item.arrival_ns, None, 0)
        # What comes next waits for what is on its way, and no longer for what is not.
        self._arrival_ns = self._flying[-1].arrival_ns if self._flying else 0
        self._free_ns = min(self._free_ns, max(now_ns, self._clogged_ns))

    def unblock(self) -> None:
        """Let through what waited: TCP's next retransmission finds the way open."""
        self.is_blocked = False
        held, self._held = self._held, 0
        if not held:
            return
        latency_ns = self._latency_ns("lag")
        again_ns = self._clock.now_ns + latency_ns + nanoseconds(RETRANSMISSION_S_MIN)
        for _ in range(held):
            self._clock.at(again_ns, self._arrive)

    def land(self, arrival_ns: int, packet: Packet | None, size_bytes: int) -> None:
        """Take what was sent elsewhere and has yet to arrive.

        Args:
            arrival_ns: When that will be, in nanoseconds.
            packet: What; None if the last thing that landed was thrown away.
            size_bytes: Its size with overhead.
        """
        if packet is None:
            entry = self._flying.pop().entry
            assert entry is not None
            entry.cancel()
        else:
            entry = self._clock.at(arrival_ns, self._arrive, self._rank)
            self._flying.append(_Item(packet, size_bytes, 0, 0, arrival_ns, entry))

    def _generator(self, purpose: str) -> random.Random:
        found = self._generators.get(purpose)
        if found is None:
            found = self._generators[purpose] = self._make_random(purpose)
        return found

    def _latency_ns(self, purpose: str = "loss") -> int:
        if self._fixed_ns is not None:
            return self._fixed_ns
        return nanoseconds(self.model.draw_latency_s(self._generator(purpose)))

    def _arrive_at(self, time_ns: int, packet: Packet, size_bytes: int, passed_ns: int) -> None:
        self._arrival_ns = max(self._arrival_ns, time_ns)
        if self._ship is None:
            entry = self._clock.at(self._arrival_ns, self._arrive, self._rank)
        else:
            entry = None
            while self._flying and self._flying[0].arrival_ns <= self._clock.now_ns:
                self._flying.pop(0)
            self._ship(self._arrival_ns, packet, size_bytes)
        left_ns, arrival_ns = self._free_ns, self._arrival_ns
        self._flying.append(_Item(packet, size_bytes, passed_ns, left_ns, arrival_ns, entry))

    def _arrive(self) -> None:
        if self.is_blocked:
            self._held += 1
            return
        item = self._flying.pop(0)  # the first, whichever of them made this moment
        if self._down.bandwidth_bytes_per_s is None:
            self._deliver(item.packet)
        else:
            now_ns = self._clock.now_ns
            # Behind what arrived before, whatever it weighs and wherever the line has a gap.
            start_ns = max(now_ns, self._passed_ns)
            self._passed_ns = self._down.carry(item.size_bytes, start_ns, now_ns=now_ns)
            self._clock.at(self._passed_ns, partial(self._deliver, item.packet))

    def _lateness_ns(self, size_bytes: int) -> int:
        """Draw how much later than undisturbed the last segment of something arrives."""
        segments = math.ceil(size_bytes / SEGMENT_BYTES)
        pause_s = RETRANSMISSION_S_MIN + 2.0 * self.model.latency_s
        lateness_s = 0.0
        generator = self._generator("loss")
        for _ in range(RETRANSMISSIONS_MAX):
            lost = sum(1 for _ in range(segments) if generator.random() < self.model.loss_ratio)
            if lost == 0:
                break
            segments = lost  # only these are sent again
            lateness_s += pause_s
            pause_s *= 2.0
        return nanoseconds(lateness_s)


def _pace_ns(size_bytes: int, bandwidth_bytes_per_s: float) -> int:
    return round(size_bytes * NANOSECONDS_PER_SECOND / bandwidth_bytes_per_s)
