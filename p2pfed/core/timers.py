"""Timers as data: set by an effect, handed back as an event."""

from enum import StrEnum

from p2pfed.identity import PeerId
from p2pfed.values import Value


class TimerKind(StrEnum):
    """What a timer is for."""

    HEARTBEAT = "heartbeat"
    REDIAL = "redial"
    START = "start"
    DEADLINE = "deadline"
    TIME_LIMIT = "time-limit"
    LINGER = "linger"
    REFETCH = "refetch"
    RETRY = "retry"


class Timer(Value):
    """Names one setting of one timer.

    Attributes:
        kind: What it is for.
        generation: Grows with every setting, so that a timer that was replaced is recognized
            when it fires all the same.
        peer: Whom it concerns, for the kinds that exist per peer.
        content_hash: Which payload it concerns, for refetches.
    """

    kind: TimerKind
    generation: int
    peer: PeerId | None = None
    content_hash: bytes | None = None
