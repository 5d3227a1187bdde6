"""Every rule that a frame can break, one by one."""

from typing import Any

import msgpack
import pytest
from msgspec.structs import replace

from p2pfed.errors import FrameError, LimitExceeded, RemoteError, SchemaError, SpecMismatch
from p2pfed.limits import FRAME_BYTES_MAX
from p2pfed.messages import Hello
from p2pfed.wire import frames, headers
from tests.wire import samples
from tests.wire.edits import APPEND, DELETE, edit

ALICE = samples.ALICE.peer
BOB = samples.BOB.peer
S, L = SchemaError, LimitExceeded
Rule = tuple[str, str, list[tuple[tuple[Any, ...], Any]], type[RemoteError]]

HASH = bytes(32)
HEAD = [[bytes([n // 256, n % 256]) + bytes(30), 1, 1] for n in range(513)]
SEEN = [[*head, HASH] for head in HEAD[:17]]
RECORD = headers.record_value(samples.RECORD)
OTHER_RUN = headers.sign(replace(samples.DIFFERENCE_HEADER, run_id=HASH), samples.ALICE)
NEXT_LIFE = headers.sign(replace(samples.DIFFERENCE_HEADER, incarnation=1), samples.ALICE)
NEXT = headers.sign(replace(samples.DIFFERENCE_HEADER, sequence=301), samples.ALICE)
BOBS = headers.sign(replace(samples.DIFFERENCE_HEADER, author=BOB), samples.BOB)


def pair(one: Any, other: Any) -> list[tuple[tuple[Any, ...], Any]]:
    first, second = sorted((one, other), key=lambda signed: signed.update_id)
    return [
        ((1,), [first.encoded, first.signature]),
        ((2,), [second.encoded, second.signature]),
    ]


RULES: list[Rule] = [
    ("a frame is an array", "goodbye", [((), {"tag": 12})], S),
    ("a frame is not an integer", "goodbye", [((), 12)], S),
    ("a frame is not empty", "goodbye", [((), [])], S),
    ("tag is known", "goodbye", [((0,), 13)], S),
    ("tag 0 is nobody's", "goodbye", [((0,), 0)], S),
    ("tag is not negative", "goodbye", [((0,), -1)], S),
    ("tag is not a boolean", "goodbye", [((0,), True)], S),
    ("tag is not a text", "goodbye", [((0,), "Goodbye")], S),
    ("tag is not a float", "goodbye", [((0,), 12.0)], S),
    ("tag is not an array", "goodbye", [((0,), [12])], S),
    ("no field is missing", "goodbye", [((2,), DELETE)], S),
    ("no field is left over", "goodbye", [((APPEND,), None)], S),
    ("fields of another message", "goodbye", [((0,), 5)], S),
    # Hello
    ("hello.version is an integer", "hello", [((1,), True)], S),
    ("hello.version is positive", "hello", [((1,), 0)], S),
    ("hello.version fits 16 bits", "hello", [((1,), 65_536)], S),
    ("hello.run_id has 32 bytes", "hello", [((2,), bytes(31))], S),
    ("hello.run_id is not text", "hello", [((2,), "a" * 32)], S),
    ("hello.genesis_bytes is positive", "hello", [((3,), 0)], S),
    ("hello.genesis_bytes is at most 4 MiB", "hello", [((3,), 4 * 1024 * 1024 + 1)], S),
    ("hello.genesis_fields is an array", "hello", [((4,), {})], S),
    (
        "hello.genesis_fields has at most 32 entries",
        "hello",
        [((4,), [[f"f{n}", bytes(8)] for n in range(33)])],
        L,
    ),
    ("a genesis field is a pair", "hello", [((4, 0), ["format"])], S),
    ("a genesis field has a name", "hello", [((4, 0, 0), "")], S),
    ("a genesis field's name is short", "hello", [((4, 0, 0), "x" * 65)], S),
    ("a genesis field's name is lower-case ASCII", "hello", [((4, 0, 0), "Format")], S),
    ("a genesis field's digest has 8 bytes", "hello", [((4, 0, 1), bytes(9))], S),
    ("genesis fields differ in name", "hello", [((4, 0, 0), "base_model")], S),
    ("hello.incarnation is not negative", "hello", [((5,), -1)], S),
    ("hello.incarnation is an integer", "hello", [((5,), 1.0)], S),
    ("hello.role is known", "hello", [((6,), "boss")], S),
    ("hello.role is text", "hello", [((6,), 0)], S),
    ("hello.software is text", "hello", [((7,), b"p2pfed")], S),
    ("hello.software has at most 256 bytes", "hello", [((7,), "x" * 257)], L),
    ("hello.software counts bytes, not characters", "hello", [((7,), "ü" * 129)], L),
    ("hello.software has one line", "hello", [((7,), "a\nb")], S),
    ("hello.software rings no bell", "hello", [((7,), "\x07")], S),
    ("hello.software moves no cursor", "hello", [((7,), "\x1b[2J")], S),
    ("hello.software has no C1 control", "hello", [((7,), "\x9b2J")], S),
    ("hello.software does not turn around", "hello", [((7,), "\u202eabc")], S),
    ("hello.software has no line separator", "hello", [((7,), "\u2028")], S),
    ("hello.newest_of_yours is a pair", "hello", [((8,), [1])], S),
    ("hello.newest_of_yours is no number", "hello", [((8,), 1)], S),
    ("hello.newest_of_yours has a sequence of 1 or more", "hello", [((8, 1), 0)], S),
    ("hello.newest_of_yours has an incarnation", "hello", [((8, 0), None)], S),
    # Announce and Deliver
    ("announce.update is an array", "announce", [((1,), b"")], S),
    ("announce.update is a pair", "announce", [((1, APPEND), b"")], S),
    ("a header is bytes", "announce", [((1, 0), [])], S),
    ("a header is not empty", "announce", [((1, 0), b"")], S),
    ("a header is at most 512 bytes", "announce", [((1, 0), bytes(513))], L),
    ("a header is msgpack", "announce", [((1, 0), b"\xc1")], FrameError),
    ("a header is one value", "announce", [((1, 0), samples.FIRST.encoded + b"\xc0")], FrameError),
    ("a header is an array", "announce", [((1, 0), b"\xc0")], S),
    ("a signature is bytes", "announce", [((1, 1), "a" * 64)], S),
    ("a signature has 64 bytes", "announce", [((1, 1), bytes(63))], S),
    ("deliver.payload is bytes", "deliver", [((2,), "text")], S),
    ("deliver.payload is not empty", "deliver", [((2,), b"")], S),
    ("deliver.payload is at most 32 KiB", "deliver", [((2,), bytes(32_769))], L),
    ("deliver.payload is as long as its header says", "deliver", [((2,), bytes(7))], S),
    # Heads
    ("heads.digest has 32 bytes", "heads", [((1,), bytes(33))], S),
    ("heads.entries is an array", "heads", [((2,), None)], S),
    ("heads.entries has at most 512 entries", "heads", [((2,), HEAD)], L),
    ("a head has three fields", "heads", [((2, 0), [ALICE, 1])], S),
    ("a head names a key", "heads", [((2, 0, 0), bytes(31))], S),
    ("a head's sequence is 1 or more", "heads", [((2, 0, 2), 0)], S),
    ("a head's sequence is below 2^53", "heads", [((2, 0, 2), 2**53)], S),
    ("heads are sorted by author", "heads", [((2,), [HEAD[1], HEAD[0]])], S),
    ("heads are sorted by incarnation", "heads", [((2,), [[ALICE, 2, 1], [ALICE, 1, 1]])], S),
    ("heads are different", "heads", [((2,), [[ALICE, 2, 1], [ALICE, 2, 2]])], S),
    ("heads.more is a boolean", "heads", [((3,), 1)], S),
    ("a page that goes on has entries", "heads-opening", [((3,), True)], S),
    # Requests
    ("request.update_ids is an array", "request-updates", [((1,), HASH)], S),
    ("request.update_ids is not empty", "request-updates", [((1,), [])], S),
    (
        "request.update_ids has at most 64 entries",
        "request-updates",
        [((1,), [bytes([n]) * 32 for n in range(65)])],
        L,
    ),
    ("an update id has 32 bytes", "request-updates", [((1, 0), bytes(8))], S),
    ("update ids are different", "request-updates", [((1,), [HASH, HASH])], S),
    ("request.author has 32 bytes", "request-range", [((1,), bytes(33))], S),
    ("request.incarnation fits 64 bits", "request-range", [((2,), -5)], S),
    ("request.first is 1 or more", "request-range", [((3,), 0), ((4,), 1)], S),
    ("request.last is not before first", "request-range", [((3,), 9), ((4,), 8)], S),
    ("a range has at most 64 updates", "request-range", [((3,), 1), ((4,), 65)], S),
    ("request.last is below 2^53", "request-range", [((3,), 2**53 - 1), ((4,), 2**53)], S),
    ("request-full.author is a key", "request-full", [((1,), None)], S),
    ("request-heads.after is a pair", "request-heads", [((1,), [ALICE])], S),
    ("request-heads.after has an author", "request-heads", [((1, 0), 7)], S),
    ("request-heads.after has an incarnation", "request-heads", [((1, 1), "7")], S),
    # Heartbeat
    ("heartbeat.active is a boolean", "heartbeat", [((1,), 1)], S),
    ("heartbeat.active is not nil", "heartbeat", [((1,), None)], S),
    ("heartbeat.sightings has at most 16 entries", "heartbeat", [((2,), SEEN)], L),
    ("a sighting has four fields", "heartbeat", [((2, 0, APPEND), 1)], S),
    ("a sighting's author is a key", "heartbeat", [((2, 0, 0), "")], S),
    ("a sighting's sequence is 1 or more", "heartbeat", [((2, 0, 2), 0)], S),
    ("a sighting's id has 32 bytes", "heartbeat", [((2, 0, 3), bytes(64))], S),
    ("sightings are sorted", "heartbeat", [((2,), [SEEN[1], SEEN[0]])], S),
    ("sightings are different", "heartbeat", [((2,), [SEEN[1], SEEN[1]])], S),
    # Evidence
    ("evidence is of two updates", "evidence", pair(samples.FORK, samples.FORK), S),
    ("evidence is of one author", "evidence", pair(samples.DIFFERENCE, BOBS), S),
    ("evidence is of one incarnation", "evidence", pair(samples.DIFFERENCE, NEXT_LIFE), S),
    ("evidence is of one sequence", "evidence", pair(samples.DIFFERENCE, NEXT), S),
    ("evidence is of one run", "evidence", pair(samples.DIFFERENCE, OTHER_RUN), S),
    (
        "evidence is in the order of the ids",
        "evidence",
        [
            ((1,), headers.signed_value(samples.EVIDENCE.second)),
            ((2,), headers.signed_value(samples.EVIDENCE.first)),
        ],
        S,
    ),
    # PeerRecords
    ("peer_records has at most 24 records", "peer-records", [((1,), [RECORD] * 25)], L),
    ("a record has five fields", "peer-records", [((1, 0), RECORD[:4])], S),
    ("a record names a key", "peer-records", [((1, 0, 0), bytes(8))], S),
    ("a record names a run", "peer-records", [((1, 0, 1), bytes(8))], S),
    ("a record's version is 1 or more", "peer-records", [((1, 0, 2), 0)], S),
    ("a record's version is below 2^53", "peer-records", [((1, 0, 2), 2**53)], S),
    ("a record has at most 8 addresses", "peer-records", [((1, 0, 3), ["/a"] * 9)], L),
    ("an address is text", "peer-records", [((1, 0, 3), [b"/a"])], S),
    ("an address starts with a slash", "peer-records", [((1, 0, 3), ["a/b"])], S),
    ("an address is more than a slash", "peer-records", [((1, 0, 3), ["/"])], S),
    ("an address has no space", "peer-records", [((1, 0, 3), ["/a b"])], S),
    ("an address is ASCII", "peer-records", [((1, 0, 3), ["/ü"])], S),
    ("an address has one line", "peer-records", [((1, 0, 3), ["/a\n"])], S),
    ("an address has at most 256 bytes", "peer-records", [((1, 0, 3), ["/" + "a" * 256])], L),
    ("a record's signature has 64 bytes", "peer-records", [((1, 0, 4), bytes(65))], S),
    # Goodbye
    ("goodbye.reason is known", "goodbye", [((1,), "bored")], S),
    ("goodbye.reason is text", "goodbye", [((1,), None)], S),
    ("goodbye.text has at most 256 bytes", "goodbye", [((2,), "x" * 257)], L),
    ("goodbye.text is printable", "goodbye", [((2,), "\x00")], S),
]


@pytest.mark.parametrize(
    ("sample", "changes", "error"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
)
def test_rule(
    sample: str, changes: list[tuple[tuple[Any, ...], Any]], error: type[RemoteError]
) -> None:
    broken = edit(frames.encode(samples.MESSAGES[sample]), *changes)
    with pytest.raises(RemoteError) as caught:
        frames.decode(broken)
    assert type(caught.value) is error


def test_names_of_rules_are_unique() -> None:
    assert len({rule[0] for rule in RULES}) == len(RULES)


def test_size_comes_before_everything() -> None:
    with pytest.raises(LimitExceeded, match="65537 bytes, at most 65536"):
        frames.decode(b"\xc1" * (FRAME_BYTES_MAX + 1))


def test_form_comes_before_schema() -> None:
    # Two things are wrong with it: an integer that is not minimal, and the tag that it is.
    with pytest.raises(FrameError):
        frames.decode(b"\x91\xcc\x0d")


def test_hello_of_another_version_is_told_from_a_wrong_one() -> None:
    hello = frames.encode(samples.MESSAGES["hello"])
    newer = frames.decode(edit(hello, ((1,), 2)))
    assert isinstance(newer, Hello)
    assert newer.version == 2
    with pytest.raises(SpecMismatch, match="protocol version 1 here, 2 there"):
        frames.decode(edit(hello, ((1,), 2), ((APPEND,), "new in 2")))
    with pytest.raises(SchemaError):
        frames.decode(edit(hello, ((APPEND,), "new in 2")))
    with pytest.raises(SchemaError):
        frames.decode(msgpack.packb([1, True]))
    with pytest.raises(SchemaError):
        frames.decode(msgpack.packb([1]))


def test_messages_never_repeat_what_a_peer_wrote() -> None:
    hostile = edit(frames.encode(samples.MESSAGES["goodbye"]), ((2,), "\x1b[31mHACKED"))
    with pytest.raises(SchemaError) as caught:
        frames.decode(hostile)
    assert "HACKED" not in str(caught.value)
