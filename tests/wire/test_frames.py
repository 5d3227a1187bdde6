"""Messages become frames and come back the same; what breaks a rule cannot be sent."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from p2pfed.errors import LocalError, RemoteError, SchemaError
from p2pfed.identity import PeerId
from p2pfed.limits import (
    ADDRESS_BYTES_MAX,
    ADDRESSES_MAX,
    FRAME_BYTES_MAX,
    GENESIS_BYTES_MAX,
    GENESIS_FIELDS_MAX,
    HEADER_BYTES_MAX,
    HEADS_ENTRIES_MAX,
    INLINE_PAYLOAD_BYTES_MAX,
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PEER_RECORDS_MAX,
    RECORD_VERSION_MAX,
    REQUEST_IDS_MAX,
    ROUND_MAX,
    SEQUENCE_MAX,
    SIGHTINGS_MAX,
    TEXT_BYTES_MAX,
    VERSION_MAX,
)
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Goodbye,
    GoodbyeReason,
    Head,
    Heads,
    Heartbeat,
    Hello,
    Message,
    PeerRecord,
    PeerRecords,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Role,
    Sighting,
    SignedHeader,
    UpdateKind,
)
from p2pfed.wire import frames, headers
from tests.wire import samples
from tests.wire.strategies import heads, messages

LIFE = 2**64 - 1


def test_every_message_has_one_tag() -> None:
    assert {form.message for form in frames.FORMS} == set(get_args(Message))
    assert len({form.message for form in frames.FORMS}) == len(frames.FORMS)
    assert len({form.tag for form in frames.FORMS}) == len(frames.FORMS)
    assert all(0 < form.tag < 128 for form in frames.FORMS)  # one byte each


@given(messages)
def test_round_trip(message: Message) -> None:
    frame = frames.encode(message)
    assert len(frame) <= FRAME_BYTES_MAX
    assert frames.decode(frame) == message
    assert frames.encode(frames.decode(frame)) == frame


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_remote_error(data: bytes) -> None:
    try:
        message = frames.decode(data)
    except RemoteError:
        return
    assert frames.encode(message) == data


def key(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


def largest_header(payload_bytes: int = PAYLOAD_BYTES_MAX, base: int = 2**53 - 2) -> SignedHeader:
    header = replace(
        samples.DIFFERENCE_HEADER,
        incarnation=LIFE,
        sequence=SEQUENCE_MAX,
        base=base,
        round=ROUND_MAX,
        gossip_step=65_535,
        method="x" * NAME_BYTES_MAX,
        codec="x" * NAME_BYTES_MAX,
        payload_bytes=payload_bytes,
    )
    return headers.sign(header, samples.ALICE)


def largest_messages() -> list[Message]:
    one, other = sorted(
        (largest_header(), largest_header(base=2**53 - 3)), key=lambda signed: signed.update_id
    )
    record = PeerRecord(
        peer=key(1),
        run_id=bytes(32),
        version=RECORD_VERSION_MAX,
        addresses=("/" + "x" * (ADDRESS_BYTES_MAX - 1),) * ADDRESSES_MAX,
        signature=bytes(64),
    )
    return [
        Hello(
            version=VERSION_MAX,
            run_id=bytes(32),
            genesis_bytes=GENESIS_BYTES_MAX,
            genesis_fields=tuple(
                (f"{n:x>{NAME_BYTES_MAX}}", bytes(8)) for n in range(GENESIS_FIELDS_MAX)
            ),
            incarnation=LIFE,
            role=Role.TRAIN,
            software="x" * TEXT_BYTES_MAX,
            newest_of_yours=(LIFE, SEQUENCE_MAX),
        ),
        Announce(update=one),
        Deliver(
            update=largest_header(INLINE_PAYLOAD_BYTES_MAX),
            payload=bytes(INLINE_PAYLOAD_BYTES_MAX),
        ),
        Heads(
            digest=bytes(32),
            entries=tuple(
                Head(author=key(n), incarnation=LIFE, sequence=SEQUENCE_MAX)
                for n in range(HEADS_ENTRIES_MAX)
            ),
            cursor=(key(HEADS_ENTRIES_MAX - 1), LIFE),
        ),
        RequestUpdates(update_ids=tuple(key(n) for n in range(REQUEST_IDS_MAX))),
        Heartbeat(
            active=True,
            sightings=tuple(
                Sighting(
                    author=key(n), incarnation=LIFE, sequence=SEQUENCE_MAX, update_id=bytes(32)
                )
                for n in range(SIGHTINGS_MAX)
            ),
        ),
        Evidence(first=one, second=other),
        PeerRecords(records=(record,) * PEER_RECORDS_MAX),
        Goodbye(reason=GoodbyeReason.TOO_MANY_NEIGHBORS, text="x" * TEXT_BYTES_MAX),
    ]


def test_the_largest_message_of_each_kind_fits_a_frame() -> None:
    assert len(largest_header().encoded) == 328 <= HEADER_BYTES_MAX
    for message in largest_messages():
        frame = frames.encode(message)
        assert len(frame) <= FRAME_BYTES_MAX, type(message).__name__
        assert frames.decode(frame) == message


ALICE = samples.ALICE.peer
HEAD = Head(author=ALICE, incarnation=1, sequence=1)
UNSENDABLE: dict[str, Any] = {
    "a text that is too long": Goodbye(reason=GoodbyeReason.LEAVING, text="x" * 257),
    "a text with a lone surrogate": Goodbye(reason=GoodbyeReason.LEAVING, text="\ud800"),
    "an integer for a boolean": Heartbeat(active=1, sightings=()),  # type: ignore[arg-type]
    "a list for a tuple": Heartbeat(active=True, sightings=[]),  # type: ignore[arg-type]
    "a bytearray for bytes": Deliver(
        update=samples.FIRST,
        payload=bytearray(samples.PAYLOAD),  # type: ignore[arg-type]
    ),
    "a payload of another size": Deliver(update=samples.FIRST, payload=b"x"),
    "a payload too large to go inline": Deliver(
        update=largest_header(INLINE_PAYLOAD_BYTES_MAX + 1),
        payload=bytes(INLINE_PAYLOAD_BYTES_MAX + 1),
    ),
    "a header that is not the encoded one": Announce(
        update=replace(samples.FIRST, header=samples.DIFFERENCE_HEADER)
    ),
    "an update id that is not the header's": Announce(
        update=replace(samples.FIRST, update_id=bytes(32))
    ),
    "heads out of order": Heads(digest=bytes(32), entries=(HEAD, HEAD), cursor=None),
    "a cursor that is not the last entry": Heads(
        digest=bytes(32), entries=(HEAD,), cursor=(ALICE, 2)
    ),
    "a cursor without entries": Heads(digest=bytes(32), entries=(), cursor=(ALICE, 2)),
    "too many heads": Heads(digest=bytes(32), entries=(HEAD,) * 513, cursor=None),
    "a range that is too long": RequestRange(author=ALICE, incarnation=1, first=1, last=65),
    "an author that is text": RequestHeads(after=(samples.ALICE.text, 1)),  # type: ignore[arg-type]
    "no update ids": RequestUpdates(update_ids=()),
    "evidence of one update": Evidence(first=samples.FORK, second=samples.FORK),
}


@pytest.mark.interpreted
@pytest.mark.parametrize("message", UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_encode_refuses(message: Message) -> None:
    with pytest.raises(LocalError, match=type(message).__name__):
        frames.encode(message)


@given(heads(), st.randoms(use_true_random=False))
def test_heads_digest_does_not_depend_on_order(message: Heads, shuffler: Any) -> None:
    entries = list(message.entries)
    shuffler.shuffle(entries)
    assert frames.heads_digest(entries) == frames.heads_digest(message.entries)


def test_heads_digest_depends_on_every_field() -> None:
    others = [
        Head(author=samples.BOB.peer, incarnation=1, sequence=1),
        replace(HEAD, incarnation=2),
        replace(HEAD, sequence=2),
    ]
    digests = {frames.heads_digest(entries) for entries in ([], [HEAD], *([o] for o in others))}
    assert len(digests) == 5


def test_check_payload() -> None:
    header = samples.FIRST_HEADER
    frames.check_payload(header, samples.PAYLOAD)
    with pytest.raises(SchemaError, match=r"has 3 bytes, not \d+"):
        frames.check_payload(header, b"abc")
    with pytest.raises(SchemaError, match="another hash"):
        frames.check_payload(header, bytes(len(samples.PAYLOAD)))


def test_enums_of_the_wire_are_stable() -> None:
    # Renaming one of these is a change of the protocol version.
    assert {*UpdateKind} == {"full", "difference", "operation", "snapshot"}
    assert {*Role} == {"train", "relay"}
    assert {*GoodbyeReason} == {
        "leaving",
        "genesis-mismatch",
        "version-mismatch",
        "too-many-neighbors",
        "banned",
    }
