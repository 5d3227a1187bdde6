"""Canonical msgpack: one value, one encoding; anything else is a FrameError."""

import math
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import FrameError, LimitExceeded, LocalError, RemoteError
from p2pfed.wire import canonical

REFUSED = {
    "nothing": "",
    "two values": "0102",
    "a byte that starts no type": "c1",
    "an array that ends early": "9201",
    "a text that ends early": "a3616b",
    "bytes that end early": "c40500",
    "a number that ends early": "cd01",
    "a map without its value": "81a161",
    "a length of 4 GiB for an array": "ddffffffff",
    "a length of 4 GiB for a map": "dfffffffff",
    "a length of 4 GiB for a text": "dbffffffff",
    "a length of 4 GiB for bytes": "c6ffffffff",
    "a length of 4 GiB for an extension": "c9ffffffff05",
    "an integer of 2 bytes that fits one": "cc01",
    "an integer of 3 bytes that fits two": "cd00ff",
    "an integer of 5 bytes that fits three": "ce0000ffff",
    "an integer of 9 bytes that fits five": "cf00000000ffffffff",
    "a signed byte that is positive": "d001",
    "a signed byte that fits a negative fixint": "d0ff",
    "a signed 64-bit integer that is positive": "d30000000000000001",
    "a text header longer than needed": "d90161",
    "a text header of 16 bits for a short text": "da000161",
    "a bytes header longer than needed": "c5000100",
    "an array header longer than needed": "dc0001c0",
    "a map header longer than needed": "de0001a161c0",
    "a float of 32 bits": "ca3f800000",
    "not a number": "cb7ff8000000000000",
    "infinity": "cb7ff0000000000000",
    "minus infinity": "cbfff0000000000000",
    "minus zero": "cb8000000000000000",
    "not a number, within an array": "91cb7ff8000000000000",
    "an extension type": "d40500",
    "an extension type without data": "c70005",
    "a timestamp of 32 bits": "d6ff00000001",
    "a timestamp of 64 bits": "d7ff0000000000000001",
    "a timestamp of 96 bits": "c70cff000000000000000000000001",
    "a timestamp with too many nanoseconds": "d7ffffffffffffffffff",
    "a timestamp without data": "c700ff",
    "a map with a key twice": "82a16101a16101",
    "a map with a key twice and two values": "82a16101a16102",
    "a map with its keys out of order": "82a16201a16101",
    "a map with an integer as key": "810101",
    "a map with nil as key": "81c001",
    "a map with bytes as key": "81c4016101",
    "a map with bytes and text as keys": "82c4016101a16201",
    "a map with an array as key": "819001",
    "a map with not a number as key": "81cb7ff800000000000001",
    "a text with an invalid byte": "a1ff",
    "a text with an overlong encoding": "a2c0af",
    "a text with a surrogate": "a3eda080",
    "a text that ends within a character": "a1c3",
    "a key with an invalid byte": "81a1ff01",
    "containers nested too deep": "91" * 9 + "c0",
    "containers nested deeper than the parser's stack": "91" * 5_000,
    "maps nested too deep": "81a161" * 9 + "c0",
}


@pytest.mark.parametrize("encoded", REFUSED.values(), ids=REFUSED.keys())
def test_refuses(encoded: str) -> None:
    with pytest.raises(FrameError):
        canonical.unpack(bytes.fromhex(encoded), bytes_max=65_536)


def test_refuses_by_size_before_parsing() -> None:
    with pytest.raises(LimitExceeded, match="11 bytes, at most 10"):
        canonical.unpack(b"\xc1" * 11, bytes_max=10)
    assert canonical.unpack(canonical.pack(b"12345678"), bytes_max=10) == b"12345678"


def test_says_what_is_left_over_or_missing() -> None:
    with pytest.raises(FrameError, match="bytes after the end"):
        canonical.unpack(b"\x01\x02", bytes_max=10)
    with pytest.raises(FrameError, match="no bytes"):
        canonical.unpack(b"", bytes_max=10)


def test_accepts_the_deepest_nesting() -> None:
    value: object = None
    for _ in range(canonical.DEPTH_MAX):
        value = [value]
    assert canonical.unpack(canonical.pack(value), bytes_max=100) == value


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(values.filter(lambda value: depth(value) <= canonical.DEPTH_MAX))
def test_round_trip(value: object) -> None:
    packed = canonical.pack(value)
    unpacked = canonical.unpack(packed, bytes_max=len(packed))
    assert unpacked == value
    assert canonical.pack(unpacked) == packed
    assert canonical.value_bytes(packed + b"\x00") == len(packed)


@given(st.binary(max_size=60))
def test_any_bytes_are_canonical_or_a_remote_error(data: bytes) -> None:
    try:
        value = canonical.unpack(data, bytes_max=50)
    except RemoteError:
        return
    assert canonical.pack(value) == data


@given(st.dictionaries(st.text(max_size=6), st.integers(0, 3)))
def test_map_order_is_that_of_utf8(table: dict[str, int]) -> None:
    packed = canonical.pack(table)
    in_order = dict(sorted(table.items(), key=lambda item: item[0].encode()))
    assert packed == msgpack.packb(in_order)


def test_pack_makes_tuples_arrays_and_zero_positive() -> None:
    assert canonical.pack((1, (2,))) == canonical.pack([1, [2]])
    assert canonical.pack([-0.0]) == canonical.pack([0.0])


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": -math.inf},
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"\ud800": 1},
        {1: 2},
        {b"a": 1},
        {"a", "b"},
        bytearray(b"a"),
        memoryview(b"a"),
        object(),
        msgpack.Timestamp(1),
        msgpack.ExtType(5, b""),
        [[[[[[[[[None]]]]]]]]],
    ],
    ids=lambda value: type(value).__name__,  # some have their place in memory in their repr
)
def test_pack_refuses(value: Any) -> None:
    with pytest.raises(LocalError):
        canonical.pack(value)


def test_elements_are_the_encodings_of_an_array() -> None:
    value = [1, [2, 3], {"a": b"xyz"}, "text"]
    parts = canonical.elements(canonical.pack(value), elements_max=4)
    assert parts == [canonical.pack(item) for item in value]
    assert canonical.elements(b"\x90", elements_max=0) == []


@pytest.mark.parametrize(
    ("encoded", "error"),
    [
        ("", FrameError),
        ("c0", FrameError),
        ("80", FrameError),
        ("9201", FrameError),
        ("920102c0", FrameError),
        ("dc0001c0", FrameError),
        ("ddffffffff", LimitExceeded),
        ("91c1", FrameError),
        ("93010203", LimitExceeded),
    ],
)
def test_elements_refuses(encoded: str, error: type[RemoteError]) -> None:
    with pytest.raises(error):
        canonical.elements(bytes.fromhex(encoded), elements_max=2)


LIES = {
    "nested arrays that promise 65,535 elements": b"\xdc\xff\xff" * 1_000 + bytes(62_000),
    "nested maps that promise 32,000 entries": b"\xde\x7d\x00\xa1a" * 1_000 + bytes(60_000),
    "an array of 4 GiB": b"\xdd\xff\xff\xff\xff" + bytes(65_000),
    "bytes of 4 GiB": b"\xc6\xff\xff\xff\xff" + bytes(65_000),
    "text of 4 GiB": b"\xdb\xff\xff\xff\xff" + bytes(65_000),
    "an extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x05" + bytes(65_000),
    "no end of nesting": b"\x91" * 65_536,
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES.keys())
def test_lying_lengths_allocate_nothing(data: bytes) -> None:
    # The parser alone would take 80 MB for the first of these, within one frame.
    assert peak_bytes_of_refusal(data) < 4 * 65_536


def test_memory_is_proportional_to_the_frame() -> None:
    # The worst frame: each byte is an empty map, which Python represents in 64 bytes.
    data = b"\xdc\xff\x00" + b"\x80" * 0xFF00
    tracemalloc.start()
    canonical.unpack(data, bytes_max=65_536)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100 * len(data)


def peak_bytes_of_refusal(data: bytes) -> int:
    tracemalloc.start()
    with pytest.raises(RemoteError):
        canonical.unpack(data, bytes_max=65_536)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak_bytes
