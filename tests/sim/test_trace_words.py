"""What people read of the events of a trace."""

from p2pfed.core.events import DialFailed, Event, FrameReceived, PayloadArrived, TimerFired
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.identity import PeerId
from p2pfed.messages import Deliver, Head, Heads
from p2pfed.wire import frames
from sim.trace_words import words_of
from tests.wire.samples import FIRST, PAYLOAD

ANNA, BERT, CARL = (PeerId(bytes([number]) * 32) for number in range(3))
NUMBERS = {ANNA: 0, BERT: 1}


def said(event: Event) -> str:
    return words_of(event, NUMBERS)


def test_a_frame_is_its_message_and_the_header_of_its_update() -> None:
    frame = frames.encode(Deliver(update=FIRST, payload=PAYLOAD))
    header = FIRST.header
    assert said(FrameReceived(peer=BERT, frame=frame)) == (
        f"Deliver from peer 1: update=(author={header.author.hex()[:8]}, "
        f"sequence={header.sequence}, kind={header.kind}, round={header.round}, "
        f"payload_bytes={header.payload_bytes}, payload_hash={header.payload_hash.hex()[:8]}), "
        f"payload={len(PAYLOAD)} bytes"
    )


def test_peers_are_numbers_and_long_lists_end_with_how_many_more() -> None:
    entries = tuple(Head(author=BERT, incarnation=k, sequence=1) for k in range(5))
    frame = frames.encode(Heads(digest=b"\xab" * 32, entries=entries, cursor=None))
    shown = ", ".join(f"(author=1, incarnation={k}, sequence=1)" for k in range(3))
    found = said(FrameReceived(peer=CARL, frame=frame))
    assert found == f"Heads from peer 02020202: digest=abababab, entries=({shown} and 2 more)"


def test_bytes_that_are_no_message_are_counted() -> None:
    frame = FrameReceived(peer=ANNA, frame=b"\xff" * 9)
    assert said(frame) == "9 bytes that are no message (frame) from peer 0"


def test_fields_without_a_value_are_left_out() -> None:
    timer = Timer(kind=TimerKind.REDIAL, generation=2, peer=BERT)
    assert said(TimerFired(timer=timer)) == "timer=(kind=redial, generation=2, peer=1)"
    assert said(PayloadArrived(content_hash=b"\x12" * 32)) == "content_hash=12121212"


def test_texts_of_others_stay_in_their_line_and_end() -> None:
    found = said(DialFailed(peer=ANNA, reason="one\ntwo " + "x" * 500))
    assert found.startswith(r"peer=0, reason='one\ntwo ")
    assert len(found) == 201
    assert found.endswith("…")
