"""Canonical msgpack: one value has one encoding, and reading costs no more than its size allows.

A value is nil, a boolean, an integer of 64 bits, a finite float64, UTF-8 text, bytes, an array or
a map. Integers, lengths and types take their shortest form; floats are always float64 and zero is
positive; map keys are texts in ascending order of their UTF-8 bytes, each once; extension types,
timestamps among them, do not exist. Arrays are read as lists.
"""

import math
from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

import msgpack

from p2pfed.errors import FrameError, LimitExceeded, LocalError, RemoteError

DEPTH_MAX: Final = 8  # containers within containers; peer records need 4, the genesis 3

_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})
_ARRAYS: Final = frozenset({list, tuple})

# guess: most values are smaller. The packer's own choice of 1 MiB takes longer than packing them.
_PACKER_BYTES: Final = 1_024

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
    ordered = value if _is_ordered(value) else _ordered(value, DEPTH_MAX)
    try:
        return _packed(ordered)
    except (ValueError, OverflowError) as error:  # lone surrogates, integers above 64 bits
        raise LocalError(f"no canonical encoding: {error}") from error


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
    _check(value)
    # Finds what the parser forgives: duplicate keys, numbers and lengths that are not minimal.
    if _packed(value) != data:
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


def _packed(value: object) -> bytes:
    packed: bytes = msgpack.Packer(buf_size=_PACKER_BYTES).pack(value)
    return packed


def _check(value: object) -> None:
    """Refuse what msgpack can express and canonical form does not have."""
    level, depth = [value], 0
    while level:
        inside: list[object] = []
        for item in level:
            if type(item) in _PLAIN:
                continue
            if isinstance(item, float):
                _check_number(item)
            elif depth == DEPTH_MAX:
                raise FrameError(f"nested more than {DEPTH_MAX} deep")
            elif isinstance(item, list):
                inside += item
            elif isinstance(item, dict):
                _check_keys(list(item))
                inside += item.values()
            else:
                raise FrameError("an extension type")
        level, depth = inside, depth + 1


def _check_number(value: float) -> None:
    if not math.isfinite(value) or (value == 0.0 and math.copysign(1.0, value) < 0.0):
        raise FrameError(f"the number {value}")


def _check_keys(keys: list[object]) -> None:
    texts = [key for key in keys if isinstance(key, str)]
    if len(texts) != len(keys):
        raise FrameError("a map key that is no text")
    if texts != sorted(texts):  # by code points, which is the order of the UTF-8 bytes
        raise FrameError("map keys out of order")


def _is_ordered(value: object) -> bool:
    """Return whether a value is as it is encoded: it has no map to order and no zero to mend.

    Nor has it anything without an encoding, as far as types and nesting tell.
    """
    level: Iterable[Any] = (value,)
    for _ in range(DEPTH_MAX + 1):
        containers = [item for item in level if type(item) not in _PLAIN]
        if not containers:
            return True
        if not _ARRAYS.issuperset(map(type, containers)):
            return False
        level = chain.from_iterable(containers)
    return False


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
