"""What is signed: the schema of headers, and that a signature means exactly one thing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from p2pfed.errors import (
    FrameError,
    LimitExceeded,
    LocalError,
    RemoteError,
    SchemaError,
    SignatureError,
)
from p2pfed.identity import PeerId
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.wire import headers
from p2pfed.wire.hashes import content_hash
from tests.wire import samples
from tests.wire.edits import APPEND, DELETE, edit
from tests.wire.strategies import update_headers

DIFFERENCE = samples.DIFFERENCE.encoded
FULL = samples.FIRST.encoded

RULES: list[tuple[str, bytes, list[tuple[tuple[Any, ...], Any]], type[RemoteError]]] = [
    ("is an array", FULL, [((), {})], SchemaError),
    ("has all fields", FULL, [((12,), DELETE)], SchemaError),
    ("has no other fields", FULL, [((APPEND,), 0)], SchemaError),
    ("run_id has 32 bytes", FULL, [((0,), bytes(31))], SchemaError),
    ("author has 32 bytes", FULL, [((1,), bytes(38))], SchemaError),
    ("author is bytes", FULL, [((1,), "12D3KooW")], SchemaError),
    ("incarnation is not negative", FULL, [((2,), -1)], SchemaError),
    ("incarnation is no boolean", FULL, [((2,), True)], SchemaError),
    ("sequence is not 0", FULL, [((3,), 0)], SchemaError),
    ("sequence is below 2^53", DIFFERENCE, [((3,), 2**53)], SchemaError),
    ("sequence is no float", DIFFERENCE, [((3,), 300.0)], SchemaError),
    ("previous has 32 bytes", DIFFERENCE, [((4,), b"")], SchemaError),
    ("previous is zero at sequence 1", FULL, [((4,), bytes(31) + b"\x01")], SchemaError),
    ("previous is not zero later", DIFFERENCE, [((4,), bytes(32))], SchemaError),
    ("kind is known", FULL, [((5,), "delta")], SchemaError),
    ("kind is text", FULL, [((5,), 0)], SchemaError),
    ("base is 0 for full", FULL, [((6,), 1)], SchemaError),
    ("base is 0 for operation", FULL, [((5,), "operation"), ((6,), 1)], SchemaError),
    ("base is 0 for snapshot", FULL, [((5,), "snapshot"), ((6,), 1)], SchemaError),
    ("base is below the sequence", DIFFERENCE, [((6,), 300)], SchemaError),
    ("base is not negative", DIFFERENCE, [((6,), -1)], SchemaError),
    ("round is not negative", FULL, [((7,), -1)], SchemaError),
    ("round is below 2^53", FULL, [((7,), 2**53)], SchemaError),
    ("gossip_step is not 0", FULL, [((8,), 0)], SchemaError),
    ("gossip_step fits 16 bits", FULL, [((8,), 65_536)], SchemaError),
    ("method is not empty", FULL, [((9,), "")], SchemaError),
    ("method has at most 64 bytes", FULL, [((9,), "x" * 65)], SchemaError),
    ("method is lower case", FULL, [((9,), "LoRA")], SchemaError),
    ("method has no underscore", FULL, [((9,), "ffa_lora")], SchemaError),
    ("method ends without a newline", FULL, [((9,), "lora\n")], SchemaError),
    ("codec is text", FULL, [((10,), b"int8")], SchemaError),
    ("codec is ASCII", FULL, [((10,), "int\u0661")], SchemaError),
    ("payload_bytes is not 0", FULL, [((11,), 0)], SchemaError),
    ("payload_bytes is below 2^53", FULL, [((11,), 2**53)], SchemaError),
    ("payload_hash has 32 bytes", FULL, [((12,), bytes(64))], SchemaError),
    ("is one value", FULL + b"\x00", [], FrameError),
]


@pytest.mark.parametrize(
    ("encoded", "changes", "error"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
)
def test_rule(
    encoded: bytes, changes: list[tuple[tuple[Any, ...], Any]], error: type[RemoteError]
) -> None:
    broken = edit(encoded, *changes) if changes else encoded
    with pytest.raises(RemoteError) as caught:
        headers.decode_header(broken)
    assert type(caught.value) is error


@given(update_headers())
def test_round_trip(header: UpdateHeader) -> None:
    encoded = headers.encode_header(header)
    assert headers.decode_header(encoded) == header
    assert headers.update_id(encoded) == content_hash(encoded)


def test_first_difference_may_apply_to_the_genesis() -> None:
    header = replace(samples.FIRST_HEADER, kind=UpdateKind.DIFFERENCE, base=0)
    assert headers.decode_header(headers.encode_header(header)) == header


def test_signed_header_verifies() -> None:
    signed = headers.sign(samples.FIRST_HEADER, samples.ALICE)
    headers.verify(signed)
    assert headers.decode_signed(signed.encoded, signed.signature) == signed


def test_signature_covers_every_byte_of_the_header() -> None:
    signed = samples.FIRST
    for position in range(len(signed.encoded)):
        changed = bytearray(signed.encoded)
        changed[position] ^= 1
        with pytest.raises(SignatureError):
            headers.verify(replace(signed, encoded=bytes(changed)))


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_changed_signature_does_not_verify(position: int) -> None:
    signature = bytearray(samples.FIRST.signature)
    signature[position] ^= 1
    with pytest.raises(SignatureError):
        headers.verify(replace(samples.FIRST, signature=bytes(signature)))


def test_signature_of_another_key_does_not_verify() -> None:
    signature = samples.BOB.sign(headers.UPDATE_PREFIX + samples.FIRST.encoded)
    with pytest.raises(SignatureError):
        headers.verify(replace(samples.FIRST, signature=signature))


def test_signature_without_the_prefix_does_not_verify() -> None:
    # What libp2p, or another program, gets signed with this key can never be an update.
    signature = samples.ALICE.sign(samples.FIRST.encoded)
    with pytest.raises(SignatureError):
        headers.verify(replace(samples.FIRST, signature=signature))


def test_no_prefix_starts_another() -> None:
    assert headers.UPDATE_PREFIX == b"p2pfed-update-1\x00"
    assert headers.RECORD_PREFIX == b"p2pfed-record-1\x00"
    assert len(headers.UPDATE_PREFIX) == len(headers.RECORD_PREFIX)


# Libsodium refuses these by itself: anybody could sign for them.
@pytest.mark.parametrize(
    "author", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32], ids=["zero", "identity", "no point"]
)
def test_weak_and_impossible_keys_never_verify(author: bytes) -> None:
    header = replace(samples.FIRST_HEADER, author=PeerId(author))
    signed = headers.decode_signed(headers.encode_header(header), bytes(64))
    with pytest.raises(SignatureError):
        headers.verify(signed)


def test_nobody_signs_for_another_author() -> None:
    with pytest.raises(LocalError, match="author"):
        headers.sign(samples.FIRST_HEADER, samples.BOB)


def test_sign_refuses_what_no_peer_would_take() -> None:
    with pytest.raises(LocalError, match=r"header\.base is 1"):
        headers.sign(replace(samples.FIRST_HEADER, base=1), samples.ALICE)


@pytest.mark.interpreted
@pytest.mark.parametrize(
    ("encoded", "signature", "error"),
    [
        (b"", bytes(64), SchemaError),
        (bytes(513), bytes(64), LimitExceeded),
        (FULL, bytes(63), SchemaError),
        (FULL, "x" * 64, SchemaError),
        (list(FULL), bytes(64), SchemaError),
    ],
    ids=["no header", "large header", "short signature", "text signature", "list header"],
)
def test_decode_signed_refuses(encoded: Any, signature: Any, error: type[RemoteError]) -> None:
    with pytest.raises(error):
        headers.decode_signed(encoded, signature)


def test_record_verifies() -> None:
    record = headers.sign_record(
        run_id=samples.RUN_ID, version=1, addresses=["/ip4/192.0.2.1/tcp/1"], identity=samples.BOB
    )
    assert record.peer == samples.BOB.peer
    assert record.addresses == ("/ip4/192.0.2.1/tcp/1",)
    headers.verify_record(record)


@pytest.mark.parametrize(
    "change",
    [
        {"peer": samples.ALICE.peer},
        {"run_id": bytes(32)},
        {"version": 2},
        {"addresses": ()},
        {"addresses": samples.RECORD.addresses[::-1]},
        {"signature": bytes(64)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_record_signature_covers(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        headers.verify_record(replace(samples.RECORD, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": b""},
        {"version": 0},
        {"version": 2**64},
        {"addresses": ["no slash"]},
        {"addresses": ["/x"] * 9},
        {"addresses": [None]},
    ],
    ids=str,
)
def test_sign_record_refuses(change: dict[str, Any]) -> None:
    arguments = {"run_id": bytes(32), "version": 1, "addresses": [], **change}
    with pytest.raises(LocalError):
        headers.sign_record(**arguments, identity=samples.BOB)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_header_or_a_remote_error(data: bytes) -> None:
    try:
        header = headers.decode_header(data)
    except RemoteError:
        return
    assert headers.encode_header(header) == data
