"""Turns valid bytes into nearly valid ones, and checks what a decoder makes of them."""

import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from p2pfed.errors import RemoteError

# Headers that promise far more than follows, and types that canonical form does not have.
LIES = [
    b"\xdc\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xde\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc5\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xda\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x00",
    b"\x9f",
    b"\x8f",
    b"\xbf",
    b"\xc1",
    b"\xc7\x00\x05",
    b"\xd6\xff\x00\x00\x00\x00",
    b"\xca\x3f\x80\x00\x00",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xcc\x01",
    b"\xcf\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\xd0\x01",
    b"\xd9\x01a",
    b"\xdc\x00\x01\xc0",
    b"\x82\xa1a\x01\xa1a\x01",
    b"\x82\xa1b\x01\xa1a\x01",
    b"\x81\x01\x01",
    b"\x81\xc4\x01a\x01",
    b"\xa2\xff\xff",
    b"\xa3\xed\xa0\x80",
]
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    2**31,
    2**53 - 1,
    2**53,
    2**63,
    2**64 - 1,
    -(2**63),
    0.5,
    float("nan"),
    float("inf"),
    "",
    "full",
    "lora",
    "x" * 65,
    "\n",
    "\u202e",
    b"",
    bytes(32),
    bytes(64),
    b"\xff" * 32,
    [],
    [[]],
    {},
    {"main": 1},
    [None] * 600,
]


def mutate(data: bytes, corpus: Sequence[bytes], generator: random.Random) -> bytes:
    """Return damaged bytes: one to three changes, each of a kind that a decoder must survive."""
    for _ in range(1 if generator.random() < 0.7 else generator.randrange(2, 4)):
        data = generator.choice(_CHANGES)(data, corpus, generator)
    return data


def count_outcomes(
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    corpus: Sequence[bytes],
    *,
    count: int,
    seed: int,
) -> Counter[str]:
    """Decode mutated bytes; whatever is accepted must encode to the very same bytes.

    Any exception other than a `RemoteError` propagates, and fails the test.
    """
    generator = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        data = mutate(generator.choice(corpus), corpus, generator)
        try:
            value = decode(data)
        except RemoteError as error:
            outcomes[error.kind] += 1
        else:
            assert encode(value) == data, data.hex()
            outcomes["accepted"] += 1
    return outcomes


def _flip_bit(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    if not data:
        return b"\x00"
    position = generator.randrange(len(data))
    flipped = data[position] ^ (1 << generator.randrange(8))
    return data[:position] + bytes([flipped]) + data[position + 1 :]


def _truncate(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data) + 1)]


def _insert(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    position = generator.randrange(len(data) + 1)
    return data[:position] + generator.randbytes(generator.randrange(1, 6)) + data[position:]


def _delete(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    position = generator.randrange(len(data) + 1)
    return data[:position] + data[position + generator.randrange(1, 6) :]


def _lie(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    position = generator.randrange(len(data) + 1)
    removed = generator.choice((0, 1, 3, 9))
    return data[:position] + generator.choice(LIES) + data[position + removed :]


def _splice(data: bytes, corpus: Sequence[bytes], generator: random.Random) -> bytes:
    other = generator.choice(corpus)
    position = generator.randrange(len(data) + 1)
    return data[:position] + other[generator.randrange(len(other) + 1) :]


def _repeat(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    start = generator.randrange(len(data) + 1)
    end = min(len(data), start + generator.randrange(1, 64))
    return data[:end] + data[start:end] + data[end:]


def _replace_all(_: bytes, __: Sequence[bytes], generator: random.Random) -> bytes:
    return generator.randbytes(generator.randrange(200))


def _change_value(data: bytes, _: Sequence[bytes], generator: random.Random) -> bytes:
    """Change one element of the decoded value, so that the schema is what must notice."""
    try:
        value = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException, struct.error):
        return data + b"\xc0"
    if not _change_element(value, generator):
        return data
    try:
        packed: bytes = msgpack.packb(value)
    except (ValueError, OverflowError):
        return data
    return packed


def _change_element(value: Any, generator: random.Random) -> bool:
    places = list(_places(value))
    if not places:
        return False
    container, place = generator.choice(places)
    element = container[place]
    match generator.randrange(4):
        case 0 if isinstance(container, list):
            container.insert(place, element)
        case 1:
            del container[place]
        case 2 if type(element) is int:
            container[place] = element + generator.choice((-1, 1))
        case _:
            container[place] = generator.choice(ODD_VALUES)
    return True


def _places(value: Any) -> Any:
    if isinstance(value, list):
        children = list(enumerate(value))
    elif isinstance(value, dict):
        children = list(value.items())
    else:
        return
    for place, child in children:
        yield value, place
        yield from _places(child)


_CHANGES = [
    _flip_bit,
    _truncate,
    _insert,
    _delete,
    _lie,
    _splice,
    _repeat,
    _replace_all,
    _change_value,
    _change_value,
    _change_value,
    _change_value,
]
