"""Canonical msgpack: one value has one encoding, and reading costs no more than its size allows.

A value is nil, a boolean, an integer of 64 bits, a finite float64, UTF-8 text, bytes, an array or
a map. Integers, lengths and types take their shortest form; floats are always float64 and zero is
positive; map keys are texts in ascending order of their UTF-8 bytes, each once; extension types,
timestamps among them, do not exist. Arrays are read as lists.
"""

import math
from typing import Any, Final

import msgpack

from p2pfed.errors import FrameError, LimitExceeded, LocalError, RemoteError

DEPTH_MAX: Final = 8  # containers within containers; peer records need 4, the genesis 3

_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})

# All that msgpack raises on any bytes: its C and its Python implementation raise ValueError (bad
# UTF-8, extra bytes, lengths over a maximum, map keys of another type, nesting) or a subclass of
# UnpackException (input that ends early, bytes that start no type).
_UNPACK_ERRORS: Final = (ValueError, msgpack.UnpackException)


def pack(value: object) -> bytes:
    """Return the canonical encoding of a value; maps may come in any order, -0.0 becomes 0.0.

    Args:
        value: None, bool, int, float, str, bytes, or lists, tuples and dicts of such.

    Raises:
        LocalError: If something in it has no canonical encoding.
    """
    ordered = _ordered(value, DEPTH_MAX)
    try:
        packed: bytes = msgpack.packb(ordered)
    except (ValueError, OverflowError) as error:  # lone surrogates, integers above 64 bits
        raise LocalError(f"no canonical encoding: {error}") from error
    return packed


def unpack(data: bytes, *, bytes_max: int) -> object:
    """Return the value that canonical bytes stand for; arrays become lists.

    Args:
        data: Exactly one value.
        bytes_max: Largest size accepted, in bytes.

    Raises:
        LimitExceeded: If there are more bytes than `bytes_max`.
        FrameError: If they are not the canonical encoding of exactly one value.
    """
    if len(data) > bytes_max:
        raise LimitExceeded(f"{len(data)} bytes, at most {bytes_max}")
    if value_bytes(data) != len(data):
        raise FrameError("bytes after the end of the value")
    try:
        value: object = msgpack.unpackb(data, max_ext_len=0)
    except _UNPACK_ERRORS as error:
        raise _frame_error(error) from error
    _check(value, DEPTH_MAX)
    # Finds what the parser forgives: duplicate keys, numbers and lengths that are not minimal.
    if msgpack.packb(value) != data:
        raise FrameError("not in canonical form")
    return value


def value_bytes(data: bytes) -> int:
    """Return how many bytes the first value takes, building nothing.

    The parser allocates an array as long as its header says before it has seen the elements: in
    64 KiB, nested headers can ask for 80 MB and more. After this check no length is a lie.

    Raises:
        FrameError: If the bytes end within the value, or are no msgpack.
    """
    unpacker = _unpacker(data)
    try:
        unpacker.skip()
    except _UNPACK_ERRORS as error:
        raise _frame_error(error) from error
    size: int = unpacker.tell()
    return size


def elements(data: bytes, *, elements_max: int) -> list[bytes]:
    """Split an encoded array into the encodings of its elements, which are not looked into.

    Args:
        data: Exactly one array.
        elements_max: Most elements accepted.

    Raises:
        LimitExceeded: If there are more elements.
        FrameError: If the bytes are not one array with a header of minimal length.
    """
    unpacker = _unpacker(data)
    parts = []
    try:
        count: int = unpacker.read_array_header()
        if count > elements_max:
            raise LimitExceeded(f"{count} elements, at most {elements_max}")
        end: int = unpacker.tell()
        if data[:end] != msgpack.Packer().pack_array_header(count):
            raise FrameError("not in canonical form")
        for _ in range(count):
            start = end
            unpacker.skip()
            end = unpacker.tell()
            parts.append(data[start:end])
    except _UNPACK_ERRORS as error:
        raise _frame_error(error) from error
    if end != len(data):
        raise FrameError("bytes after the end of the value")
    return parts


def _unpacker(data: bytes) -> Any:
    if not data:
        raise FrameError("no bytes")  # and a buffer of size 0 would mean one without bound
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    return unpacker


def _frame_error(error: Exception) -> RemoteError:
    return FrameError(f"not msgpack: {type(error).__name__} {error}".rstrip())


def _check(value: object, depth: int) -> None:
    """Refuse what msgpack can express and canonical form does not have."""
    if type(value) in _PLAIN:
        return
    if isinstance(value, float):
        if not math.isfinite(value) or (value == 0.0 and math.copysign(1.0, value) < 0.0):
            raise FrameError(f"the number {value}")
        return
    if depth == 0:
        raise FrameError(f"nested more than {DEPTH_MAX} deep")
    if isinstance(value, list):
        for item in value:
            if type(item) not in _PLAIN:
                _check(item, depth - 1)
    elif isinstance(value, dict):
        keys = list(value)
        if not all(isinstance(key, str) for key in keys):
            raise FrameError("a map key that is no text")
        if keys != sorted(keys):  # by code points, which is the order of the UTF-8 bytes
            raise FrameError("map keys out of order")
        for item in value.values():
            _check(item, depth - 1)
    else:
        raise FrameError("an extension type")


def _ordered(value: object, depth: int) -> object:
    """Return the value with its maps in canonical order, or raise."""
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise LocalError(f"the number {value} has no canonical encoding")
        return value + 0.0  # -0.0 becomes 0.0
    if depth == 0:
        raise LocalError(f"nested more than {DEPTH_MAX} deep")
    if type(value) in (list, tuple):
        assert isinstance(value, list | tuple)
        return [item if type(item) in _PLAIN else _ordered(item, depth - 1) for item in value]
    if type(value) is dict:
        if not all(type(key) is str for key in value):
            raise LocalError("map keys are texts")
        return {key: _ordered(value[key], depth - 1) for key in sorted(value)}
    raise LocalError(f"no canonical encoding of {type(value).__name__}")
