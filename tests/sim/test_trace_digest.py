"""The digest of a trace tells entries apart, although it takes frames by their hash."""

import pytest

from p2pfed.core.events import FrameReceived
from p2pfed.identity import PeerId
from sim.trace import Trace

PEER, OTHER = PeerId(bytes(32)), PeerId(bytes(31) + b"\x01")
FRAME = bytes(10_000)


def digest_of(*frames: bytes, peer: PeerId = PEER) -> bytes:
    trace = Trace()
    for frame in frames:
        trace.add_event(0, 0, FrameReceived(peer=peer, frame=frame))
    return trace.digest


@pytest.mark.parametrize("other", [FRAME[:-1] + b"\x01", b"\x01" + FRAME[1:], FRAME[:-1], b""])
def test_two_frames_are_told_apart(other: bytes) -> None:
    assert digest_of(FRAME) != digest_of(other)
    assert digest_of(FRAME, FRAME) != digest_of(FRAME, other)


def test_equal_frames_are_the_same_whichever_object_they_are() -> None:
    assert digest_of(FRAME, FRAME) == digest_of(FRAME, bytes(bytearray(FRAME)))


def test_who_sent_a_frame_is_told_apart() -> None:
    assert digest_of(FRAME) != digest_of(FRAME, peer=OTHER)


def test_frames_that_are_long_forgotten_count_the_same() -> None:
    trace, big = Trace(), bytes(1 << 24)
    frames = [FRAME, big, b"\x01" + big, b"\x02" + big, FRAME]
    for frame in frames:
        trace.add_event(0, 0, FrameReceived(peer=PEER, frame=frame))
    assert len(trace._frames) <= 2
    again = Trace()
    for frame in frames:
        again.add_event(0, 0, FrameReceived(peer=PEER, frame=bytes(bytearray(frame))))
    assert trace.digest == again.digest
