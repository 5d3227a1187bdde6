"""One direction of an edge: latency, bandwidth shared by all that flows over it, and loss.

The model is TCP seen from above: everything arrives once and in order. What is lost arrives later,
and what was sent after it waits for it (head-of-line blocking), since libp2p carries all streams
of two peers over one TCP connection.
"""

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Final, final

from sim.clock import NANOSECONDS_PER_SECOND, Action, Clock, nanoseconds

SEGMENT_BYTES: Final = 1_448  # Ethernet's 1,500 less IPv4, TCP and timestamps
RETRANSMISSION_S_MIN: Final = 0.2  # Linux, TCP_RTO_MIN
RETRANSMISSIONS_MAX: Final = 8  # guess: 0.2 s doubled eight times is near a minute

# What p2pfed's framing (4), Yamux (12) and Noise (2 + 16) add to a frame or a chunk.
OVERHEAD_BYTES: Final = 34


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkModel:
    """How one edge of the graph behaves, in each direction.

    Attributes:
        latency_s: One-way delay, in seconds.
        bandwidth_bytes_per_s: Bytes per second, shared by frames and payloads; None for no bound.
        loss_ratio: Chance of a segment of 1,448 bytes to be lost, from 0 to below 1.
    """

    latency_s: float = 0.02  # guess: two homes in one country
    bandwidth_bytes_per_s: float | None = None
    loss_ratio: float = 0.0


@final
class Wire:
    """One direction of an edge.

    Attributes:
        model: How it behaves.
        is_blocked: Whether nothing gets through now; what arrives waits for the end of that.
        sent_bytes: Everything sent so far with its overhead, retransmissions not counted.
    """

    def __init__(self, model: LinkModel, clock: Clock, generator: random.Random) -> None:
        self.model = model
        self.is_blocked = False
        self.sent_bytes = 0
        self._clock = clock
        self._random = generator
        self._free_ns = 0  # when the last byte accepted so far has left
        self._arrival_ns = 0  # when the last thing accepted so far arrives
        self._flying: deque[Action] = deque()  # sent and not delivered, in order
        self._held = 0  # how many of them arrived while nothing got through

    @property
    def latency_ns(self) -> int:
        """One-way delay, in nanoseconds."""
        return nanoseconds(self.model.latency_s)

    @property
    def free_ns(self) -> int:
        """When everything accepted so far has left, in nanoseconds; may be past."""
        return self._free_ns

    def send(self, size_bytes: int, deliver: Action) -> int:
        """Send something.

        Args:
            size_bytes: Its size without overhead.
            deliver: Called when it arrives.

        Returns:
            When its last byte has left, in nanoseconds.
        """
        size_bytes += OVERHEAD_BYTES
        self.sent_bytes += size_bytes
        start_ns = max(self._clock.now_ns, self._free_ns)
        bandwidth = self.model.bandwidth_bytes_per_s
        pace_ns = 0 if bandwidth is None else round(size_bytes * NANOSECONDS_PER_SECOND / bandwidth)
        self._free_ns = start_ns + pace_ns
        self._deliver_at(self._free_ns + self.latency_ns + self._lateness_ns(size_bytes), deliver)
        return self._free_ns

    def signal(self, deliver: Action) -> None:
        """Send something without weight, in order: the end of a connection or transfer."""
        self._deliver_at(max(self._clock.now_ns, self._free_ns) + self.latency_ns, deliver)

    def unblock(self) -> None:
        """Let through what waited: TCP's next retransmission finds the way open."""
        self.is_blocked = False
        held, self._held = self._held, 0
        again_ns = self._clock.now_ns + self.latency_ns + nanoseconds(RETRANSMISSION_S_MIN)
        for _ in range(held):
            self._clock.at(again_ns, self._arrive)

    def _deliver_at(self, time_ns: int, deliver: Action) -> None:
        self._flying.append(deliver)
        self._arrival_ns = max(self._arrival_ns, time_ns)
        self._clock.at(self._arrival_ns, self._arrive)

    def _arrive(self) -> None:
        if self.is_blocked:
            self._held += 1
        else:
            self._flying.popleft()()  # the first, whichever of them made this moment

    def _lateness_ns(self, size_bytes: int) -> int:
        """Draw how much later than undisturbed the last segment of something arrives."""
        if self.model.loss_ratio == 0.0:
            return 0
        segments = math.ceil(size_bytes / SEGMENT_BYTES)
        pause_s = RETRANSMISSION_S_MIN + 2.0 * self.model.latency_s
        lateness_s = 0.0
        for _ in range(RETRANSMISSIONS_MAX):
            lost = sum(1 for _ in range(segments) if self._random.random() < self.model.loss_ratio)
            if lost == 0:
                break
            segments = lost  # only these are sent again
            lateness_s += pause_s
            pause_s *= 2.0
        return nanoseconds(lateness_s)
