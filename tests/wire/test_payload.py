"""Payloads: named sections around bytes that are never copied on the way in."""

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import FrameError, LimitExceeded, LocalError, RemoteError, SchemaError
from p2pfed.limits import CLAIMS_BYTES_MAX
from p2pfed.wire import canonical
from p2pfed.wire.payload import decode_payload, encode_payload, payload_bytes_max
from tests.wire.strategies import claims, sides

LIMITS = {"main": 100_000, "gram": 300}
MAIN = b"\xa4main"
CLAIMS = b"\xa6claims"
TO_MAIN = b"\x82" + CLAIMS + b"\x80" + MAIN  # all but main's value
CLAIM_A = b"\x81" + CLAIMS + b"\x81\xa1a"  # up to the value of a claim called a

REFUSED: list[tuple[str, bytes, type[RemoteError]]] = [
    ("nothing", b"", FrameError),
    ("an integer", b"\x01", FrameError),
    ("an array", b"\x92\x01\x02", FrameError),
    ("a map of 16 sections", b"\xde\x00\x10", FrameError),
    ("a map header of 16 bits", b"\xde\x00\x02" + TO_MAIN[1:] + b"\xc4\x00", FrameError),
    ("no sections", b"\x80", SchemaError),
    ("no main", b"\x81" + CLAIMS + b"\x80", SchemaError),
    ("no claims", b"\x81" + MAIN + b"\xc4\x00", SchemaError),
    ("an unknown section", b"\x81\xa5other\xc4\x00", SchemaError),
    ("sections out of order", b"\x82" + MAIN + b"\xc4\x00" + CLAIMS + b"\x80", FrameError),
    ("main twice", b"\x82" + MAIN + b"\xc4\x00" + MAIN + b"\xc4\x00", FrameError),
    ("claims twice", b"\x82" + CLAIMS + b"\x80" + CLAIMS + b"\x80", FrameError),
    ("a number as name", b"\x81\x01\xc4\x00", FrameError),
    ("bytes as name", b"\x81\xc4\x04main\xc4\x00", FrameError),
    ("an empty name", b"\x81\xa0\xc4\x00", SchemaError),
    ("a name that is not ASCII", b"\x81\xa2\xc3\xbc\xc4\x00", SchemaError),
    ("a name of invalid UTF-8", b"\x81\xa1\xff\xc4\x00", SchemaError),
    ("a name with an underscore", b"\x81\xa3a_b\xc4\x00", SchemaError),
    ("a name with a long header", b"\x81\xd9\x04main\xc4\x00", FrameError),
    ("a name of 65 bytes", b"\x81\xd9\x41" + b"a" * 65 + b"\xc4\x00", LimitExceeded),
    ("a name of 16-bit length", b"\x81\xda\x00\x40" + b"a" * 64 + b"\xc4\x00", FrameError),
    ("a name that ends early", b"\x81\xa4ma", FrameError),
    ("main as text", TO_MAIN + b"\xa1x", SchemaError),
    ("main as nil", TO_MAIN + b"\xc0", SchemaError),
    ("main with a long header", TO_MAIN + b"\xc5\x00\x01x", FrameError),
    ("main with a longer header", TO_MAIN + b"\xc6\0\0\0\1x", FrameError),
    ("main that ends early", TO_MAIN + b"\xc4\x02x", FrameError),
    ("main of 4 GiB", TO_MAIN + b"\xc6" + b"\xff" * 4, LimitExceeded),
    ("main above its limit", TO_MAIN + b"\xc6\0\1\x86\xa1", LimitExceeded),
    (
        "a side section above its limit",
        b"\x82" + CLAIMS + b"\x80\xa4gram\xc5\x01\x2d",
        LimitExceeded,
    ),
    ("a length that ends early", TO_MAIN + b"\xc5\x01", FrameError),
    ("a section without value", TO_MAIN, FrameError),
    ("bytes after the end", TO_MAIN + b"\xc4\x00\x00", FrameError),
    ("claims as bytes", b"\x82" + CLAIMS + b"\xc4\x00" + MAIN + b"\xc4\x00", SchemaError),
    ("claims as array", b"\x82" + CLAIMS + b"\x90" + MAIN + b"\xc4\x00", SchemaError),
    ("claims that end early", CLAIM_A, FrameError),
    ("claims that are missing", b"\x81" + CLAIMS, FrameError),
    ("claims of 4 GiB", b"\x81" + CLAIMS + b"\xdf" + b"\xff" * 4, FrameError),
    ("a claim twice", b"\x81" + CLAIMS + b"\x82\xa1a\x01\xa1a\x01", FrameError),
    ("claims out of order", b"\x81" + CLAIMS + b"\x82\xa1b\x01\xa1a\x01", FrameError),
    ("a claim with an upper-case name", b"\x81" + CLAIMS + b"\x81\xa1A\x01", SchemaError),
    ("a claim that is text", CLAIM_A + b"\xa1b", SchemaError),
    ("a claim that is nil", CLAIM_A + b"\xc0", SchemaError),
    ("a claim that is a map", CLAIM_A + b"\x80", SchemaError),
    ("a claim of 2^53", CLAIM_A + b"\xcf\0\x20\0\0\0\0\0\0", SchemaError),
    ("a claim of -2^53", CLAIM_A + b"\xd3\xff\xe0\0\0\0\0\0\0", SchemaError),
    ("a claim that is no number", CLAIM_A + b"\xcb\x7f\xf8" + bytes(6), FrameError),
    ("a claim of minus zero", CLAIM_A + b"\xcb\x80" + bytes(7), FrameError),
    ("a claim of 32 bits", CLAIM_A + b"\xca\x3f\x80\0\0", FrameError),
]


@pytest.mark.parametrize(
    ("data", "error"), [rule[1:] for rule in REFUSED], ids=[rule[0] for rule in REFUSED]
)
def test_refuses(data: bytes, error: type[RemoteError]) -> None:
    with pytest.raises(RemoteError) as caught:
        decode_payload(data, section_bytes_max=LIMITS)
    assert type(caught.value) is error


@given(st.binary(max_size=2_000), claims, sides)
def test_round_trip(main: bytes, numbers: dict[str, Any], side: dict[str, bytes]) -> None:
    data = encode_payload(main, numbers, side)
    found = decode_payload(data, section_bytes_max={"main": 2_000, **dict.fromkeys(side, 300)})
    assert found.main == main
    assert found.claims == numbers
    assert {name: type(value) for name, value in found.claims.items()} == {
        name: type(value) for name, value in numbers.items()
    }
    assert found.side == side


@given(st.binary(max_size=70_000), claims, sides)
def test_is_canonical_msgpack(main: bytes, numbers: dict[str, Any], side: dict[str, bytes]) -> None:
    # The map is written and read by hand; an ordinary parser must see the same.
    data = encode_payload(main, numbers, side)
    value = canonical.unpack(data, bytes_max=len(data))
    assert value == {"main": main, "claims": numbers, **side}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_535, 65_536])
def test_sizes_around_the_headers(size: int) -> None:
    main = bytes(size)
    data = encode_payload(main, {})
    assert data == msgpack.packb({"claims": {}, "main": main})
    assert decode_payload(data, section_bytes_max={"main": 65_536}).main == main


def test_overhead_is_small() -> None:
    main = bytes(65_536)
    numbers = {"examples": 12_000, "steps": 40, "loss": 0.731, "degree": 6}
    assert len(encode_payload(main, {})) - len(main) == 19
    assert len(encode_payload(main, numbers)) - len(main) < 100


def test_any_buffer_can_be_a_section() -> None:
    data = encode_payload(bytearray(b"abc"), {}, {"gram": memoryview(b"xyz")})
    assert data == encode_payload(b"abc", {}, {"gram": b"xyz"})
    assert bytes(decode_payload(memoryview(data), section_bytes_max=LIMITS).main) == b"abc"


def test_sections_are_copied_once_on_the_way_out_and_never_on_the_way_in() -> None:
    main = bytes(8_000_000)
    tracemalloc.start()
    data = encode_payload(main, {"examples": 1})
    encode_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found = decode_payload(data, section_bytes_max={"main": len(main)})
    decode_peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert found.main.obj is data
    assert encode_peak < 1.01 * len(main)
    assert decode_peak < 0.1 * len(main)


def test_claims_have_a_limit_of_their_own() -> None:
    short = {f"a{number:03}": 1 for number in range((CLAIMS_BYTES_MAX - 3) // 6)}
    full = encode_payload(b"", short)
    assert decode_payload(full, section_bytes_max=LIMITS).claims == short
    with pytest.raises(LocalError, match="at most 4096"):
        encode_payload(b"", {**short, "b": 2**40})
    long = b"\x82" + CLAIMS + canonical.pack({**short, "b": 2**40}) + MAIN + b"\xc4\x00"
    with pytest.raises(LimitExceeded, match="claims have more than 4096 bytes"):
        decode_payload(long, section_bytes_max=LIMITS)


def test_the_genesis_may_allow_fewer_claims() -> None:
    data = encode_payload(b"", {"examples": 1})
    assert decode_payload(data, section_bytes_max={"main": 1, "claims": 11}).claims
    with pytest.raises(LimitExceeded):
        decode_payload(data, section_bytes_max={"main": 1, "claims": 10})


@pytest.mark.parametrize(
    ("numbers", "side"),
    [
        ({"loss": float("nan")}, {}),
        ({"loss": float("inf")}, {}),
        ({"examples": 2**53}, {}),
        ({"Examples": 1}, {}),
        ({"text": "no number"}, {}),
        ({}, {"main": b""}),
        ({}, {"claims": b""}),
        ({}, {"under_score": b""}),
        ({}, {f"s{number}": b"" for number in range(14)}),
    ],
    ids=str,
)
def test_encode_refuses(numbers: Any, side: dict[str, bytes]) -> None:
    with pytest.raises(LocalError):
        encode_payload(b"", numbers, side)


@given(st.sets(st.sampled_from(["gram", "loss-vector", "rank-map", "x" * 40])))
def test_no_payload_is_larger_than_the_limits_say(names: set[str]) -> None:
    limits = {"main": 70_000, **dict.fromkeys(names, 300)}
    side = {name: bytes(300) for name in names}
    size = len(encode_payload(bytes(70_000), {}, side))
    assert size - len(b"\x80") + CLAIMS_BYTES_MAX == payload_bytes_max(limits)


def test_no_section_is_longer_than_msgpack_can_say() -> None:
    assert payload_bytes_max({"main": 2**32 - 1}) > 2**32
    with pytest.raises(LimitExceeded, match="at most 4294967295"):
        payload_bytes_max({"main": 2**32})


@given(st.binary(max_size=80))
def test_any_bytes_are_a_payload_or_a_remote_error(data: bytes) -> None:
    try:
        found = decode_payload(data, section_bytes_max=LIMITS)
    except RemoteError:
        return
    assert encode_payload(found.main, found.claims, found.side) == data
