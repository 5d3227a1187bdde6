"""Checks of single values against the schema; each returns the value with its type.

A check takes the decoded value, what is allowed, and a dotted name for the error message. Only
exact types pass, so that a boolean is never an integer. Texts of peers never stand in messages.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

from p2pfed.errors import LimitExceeded, SchemaError
from p2pfed.limits import (
    ADDRESS_BYTES_MAX,
    HASH_BYTES,
    NAME_BYTES_MAX,
    PUBLIC_KEY_BYTES,
    TEXT_BYTES_MAX,
)

_Chosen = TypeVar("_Chosen")

INCARNATION_MAX: Final = 2**64 - 1  # 64 random bits

_NAME: Final = re.compile(r"[a-z0-9-]+")
_KEY: Final = re.compile(r"[a-z0-9_-]+")
_ADDRESS: Final = re.compile(r"/[!-~]+")
# Control characters, line separators, marks that change the direction of writing or cannot be
# seen, surrogates: none of them may reach a terminal. Spelled out, because the Unicode tables of
# two machines can differ.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    f"{chr(0xD800)}-{chr(0xDFFF)}\ufeff\ufff9-\ufffb]"
)


def array(value: object, *, count: int, name: str) -> list[object]:
    """Return an array of exactly `count` elements.

    Raises:
        SchemaError: If it is something else.
    """
    if type(value) is not list:
        raise SchemaError(f"{name} is {_kind(value)}, not an array")
    if len(value) != count:
        raise SchemaError(f"{name} has {len(value)} elements, not {count}")
    return value


def array_up_to(value: object, count_max: int, *, name: str, count_min: int = 0) -> list[object]:
    """Return an array of at most `count_max` elements.

    Raises:
        SchemaError: If it is something else, or shorter than `count_min`.
        LimitExceeded: If it is longer.
    """
    if type(value) is not list:
        raise SchemaError(f"{name} is {_kind(value)}, not an array")
    if len(value) > count_max:
        raise LimitExceeded(f"{name} has {len(value)} elements, at most {count_max}")
    if len(value) < count_min:
        raise SchemaError(f"{name} has {len(value)} elements, at least {count_min}")
    return value


def mapping(value: object, count_max: int, *, name: str) -> dict[str, object]:
    """Return a map of at most `count_max` entries whose keys keep the rule of `key`.

    Raises:
        SchemaError: If it is something else.
        LimitExceeded: If it has more entries.
    """
    if type(value) is not dict:
        raise SchemaError(f"{name} is {_kind(value)}, not a map")
    if len(value) > count_max:
        raise LimitExceeded(f"{name} has {len(value)} entries, at most {count_max}")
    for entry in value:
        key(entry, name=f"a key of {name}")
    return value


def boolean(value: object, *, name: str) -> bool:
    """Return a boolean.

    Raises:
        SchemaError: If it is something else.
    """
    if type(value) is not bool:
        raise SchemaError(f"{name} is {_kind(value)}, not a boolean")
    return value


def integer(value: object, low: int, high: int, *, name: str) -> int:
    """Return an integer of [low, high].

    Raises:
        SchemaError: If it is something else.
    """
    if type(value) is not int:
        raise SchemaError(f"{name} is {_kind(value)}, not an integer")
    if not low <= value <= high:
        raise SchemaError(f"{name} is {value}, not in [{low}, {high}]")
    return value


def exact_bytes(value: object, size: int, *, name: str) -> bytes:
    """Return bytes of exactly `size`.

    Raises:
        SchemaError: If it is something else.
    """
    if type(value) is not bytes:
        raise SchemaError(f"{name} is {_kind(value)}, not bytes")
    if len(value) != size:
        raise SchemaError(f"{name} has {len(value)} bytes, not {size}")
    return value


def digest(value: object, *, name: str) -> bytes:
    """Return a BLAKE3-256 hash.

    Raises:
        SchemaError: If it is not 32 bytes.
    """
    return exact_bytes(value, HASH_BYTES, name=name)


def public_key(value: object, *, name: str) -> bytes:
    """Return an Ed25519 public key; whether it lies on the curve shows when it verifies.

    Raises:
        SchemaError: If it is not 32 bytes.
    """
    return exact_bytes(value, PUBLIC_KEY_BYTES, name=name)


def bytes_up_to(value: object, size_max: int, *, name: str) -> bytes:
    """Return between 1 and `size_max` bytes.

    Raises:
        SchemaError: If it is something else, or empty.
        LimitExceeded: If there are more bytes.
    """
    if type(value) is not bytes:
        raise SchemaError(f"{name} is {_kind(value)}, not bytes")
    if len(value) > size_max:
        raise LimitExceeded(f"{name} has {len(value)} bytes, at most {size_max}")
    if not value:
        raise SchemaError(f"{name} is empty")
    return value


def text(value: object, *, name: str, size_min: int = 0) -> str:
    """Return text for people: at most 256 bytes in UTF-8, safe to show on a terminal.

    Raises:
        SchemaError: If it is something else, has fewer than `size_min` bytes, or holds control
            characters.
        LimitExceeded: If it is longer.
    """
    found = _text_of(value, name)
    if _UNPRINTABLE.search(found):  # before encoding, which lone surrogates do not survive
        raise SchemaError(f"{name} holds characters that are not printable")
    encoded_bytes = len(found.encode())
    if encoded_bytes > TEXT_BYTES_MAX:
        raise LimitExceeded(f"{name} has {encoded_bytes} bytes, at most {TEXT_BYTES_MAX}")
    if encoded_bytes < size_min:
        raise SchemaError(f"{name} has {encoded_bytes} bytes, at least {size_min}")
    return found


def word(value: object, *, name: str) -> str:
    """Return the name of a method, codec, section or type: `[a-z0-9-]`, 1 to 64 of them.

    Raises:
        SchemaError: If it is something else.
    """
    return _matching(value, _NAME, name)


def key(value: object, *, name: str) -> str:
    """Return the name of a field, constant or claim: `[a-z0-9_-]`, 1 to 64 of them.

    Raises:
        SchemaError: If it is something else.
    """
    return _matching(value, _KEY, name)


def incarnation(value: object, *, name: str) -> int:
    """Return an incarnation: any 64 bits.

    Raises:
        SchemaError: If it is something else.
    """
    return integer(value, 0, INCARNATION_MAX, name=name)


def address(value: object, *, name: str) -> str:
    """Return a multiaddress; which protocols it may name is decided by who dials.

    Raises:
        SchemaError: If it does not start with a slash or holds more than visible ASCII.
        LimitExceeded: If it is longer than 256 bytes.
    """
    found = _text_of(value, name)
    if len(found) > ADDRESS_BYTES_MAX:
        raise LimitExceeded(f"{name} has {len(found)} bytes, at most {ADDRESS_BYTES_MAX}")
    if _ADDRESS.fullmatch(found) is None:
        raise SchemaError(f"{name} is no multiaddress")
    return found


def chosen(value: object, choices: Mapping[str, _Chosen], *, name: str) -> _Chosen:
    """Return what a text stands for.

    Raises:
        SchemaError: If it is none of the choices.
    """
    choice = choices.get(_text_of(value, name))
    if choice is None:
        raise SchemaError(f"{name} is none of {', '.join(choices)}")
    return choice


def _matching(value: object, pattern: re.Pattern[str], name: str) -> str:
    found = _text_of(value, name)
    if len(found) > NAME_BYTES_MAX or pattern.fullmatch(found) is None:
        raise SchemaError(f"{name} is not 1 to {NAME_BYTES_MAX} of {pattern.pattern[:-1]}")
    return found


def _text_of(value: object, name: str) -> str:
    if type(value) is not str:
        raise SchemaError(f"{name} is {_kind(value)}, not text")
    return value


def _kind(value: object) -> str:
    return "nil" if value is None else type(value).__name__
