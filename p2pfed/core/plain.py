"""What goes into a core and what comes out of it as values that JSON has, and back.

The annotations of the classes decide how a field is written, so that a new event or field needs
nothing here. Bytes are base64, numbers that JSON does not have are `nan`, `inf` and `-inf`, one of
several classes is its name and its fields.
"""

import binascii
import dataclasses
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NewType, Union, get_args, get_origin, get_type_hints

from blake3 import blake3
from msgspec import Struct, structs

from p2pfed.core.config import CoreConfig
from p2pfed.core.effects import Effect
from p2pfed.core.events import Event
from p2pfed.errors import LocalError
from p2pfed.identity import PeerId
from p2pfed.limits import PUBLIC_KEY_BYTES

# Of an effect, longer byte strings are told by size and hash. Frames without a payload are mostly
# shorter, and can be read where two effects differ.
EFFECT_BYTES_MAX: Final = 1_024

_NOT_FINITE: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_UNIONS: Final = (Union, UnionType)  # with a `NewType` in it, `X | None` is the former
_TEXT_CHARACTERS_MAX: Final = 40  # of a value that is complained about

Plain = Any  # None, bool, int, float, str, or lists and dicts with text keys of such
_Write = Callable[[Any], Plain]
_Read = Callable[[Plain], Any]


def write_event(event: Event) -> Plain:
    """Return an event as its name and its fields."""
    return _writer(Event, None)(event)


def read_event(value: Plain) -> Event:
    """Return the event that `write_event` wrote.

    Raises:
        LocalError: If it is none.
    """
    event: Event = _reader(Event)(value)
    return event


def write_effect(effect: Effect) -> Plain:
    """Return an effect as its name and its fields.

    Equal ones are of equal effects: byte strings above `EFFECT_BYTES_MAX` are their size and
    BLAKE3-256.
    """
    return _writer(Effect, EFFECT_BYTES_MAX)(effect)


def write_config(config: CoreConfig) -> Plain:
    """Return what a core was told."""
    return _writer(CoreConfig, None)(config)


def read_config(value: Plain) -> CoreConfig:
    """Return what `write_config` wrote.

    Raises:
        LocalError: If it is none.
    """
    config: CoreConfig = _reader(CoreConfig)(value)
    return config


def write_bytes(data: bytes) -> str:
    """Return bytes as base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def read_bytes(value: Plain) -> bytes:
    """Return the bytes of a base64 text.

    Raises:
        LocalError: If it is none.
    """
    try:
        return binascii.a2b_base64(_of_type(value, str).encode(), strict_mode=True)
    except ValueError as error:
        raise LocalError(f"{_short(value)} is no base64") from error


# Writing -----------------------------------------------------------------------------------


@cache
def _writer(hint: Any, bytes_max: int | None) -> _Write:
    """Return what writes values of an annotation."""
    hint = _plain_hint(hint)
    if hint is bytes or hint is PeerId:
        return write_bytes if bytes_max is None else lambda data: _abridged(data, bytes_max)
    if _has_fields(hint):
        return _fields_writer(hint, bytes_max)
    if get_origin(hint) is tuple:
        return _tuple_writer(hint, bytes_max)
    if get_origin(hint) in _UNIONS:
        return _union_writer(hint, bytes_max)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return str
    return _SIMPLE[hint]


def _fields_writer(kind: Any, bytes_max: int | None) -> _Write:
    hints = get_type_hints(kind)
    writers = [(name, _writer(hints[name], bytes_max)) for name in _fields(kind)]
    return lambda value: {name: write(getattr(value, name)) for name, write in writers}


def _tuple_writer(hint: Any, bytes_max: int | None) -> _Write:
    inner = get_args(hint)
    if inner[-1] is ...:
        write = _writer(inner[0], bytes_max)
        return lambda values: [write(it) for it in values]
    writers = [_writer(it, bytes_max) for it in inner]
    return lambda values: [write(it) for write, it in zip(writers, values, strict=True)]


def _union_writer(hint: Any, bytes_max: int | None) -> _Write:
    kinds = [it for it in get_args(hint) if it is not NoneType]
    if len(kinds) == 1:
        write = _writer(kinds[0], bytes_max)
        return lambda value: None if value is None else write(value)
    writers = {kind: _writer(kind, bytes_max) for kind in kinds}
    return lambda value: [type(value).__name__, writers[type(value)](value)]


def _write_number(value: Any) -> Plain:
    # Applications may have numbers of other libraries; an integer stays one.
    number = value if type(value) in (int, float) else float(value)
    return number if math.isfinite(number) else str(number)


_SIMPLE: Final[Mapping[Any, _Write]] = {float: _write_number, int: int, bool: bool, str: str}


def _abridged(data: bytes, bytes_max: int) -> Plain:
    if len(data) <= bytes_max:
        return write_bytes(data)
    return {"bytes": len(data), "blake3": blake3(data).hexdigest()}


# Reading -----------------------------------------------------------------------------------


@cache
def _reader(hint: Any) -> _Read:
    """Return what reads values of an annotation; it raises `LocalError`."""
    hint = _plain_hint(hint)
    if hint is PeerId:
        return _read_peer
    if _has_fields(hint):
        return _fields_reader(hint)
    if get_origin(hint) is tuple:
        return _tuple_reader(hint)
    if get_origin(hint) in _UNIONS:
        return _union_reader(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda value: _read_choice(hint, value)
    if hint is bytes:
        return read_bytes
    if hint is float:
        return _read_number
    return lambda value: _of_type(value, hint)


def _fields_reader(kind: Any) -> _Read:
    hints = get_type_hints(kind)
    readers = {name: _reader(hints[name]) for name in _fields(kind)}
    needed = {name for name, is_needed in _fields(kind).items() if is_needed}

    def read(value: Plain) -> Any:
        fields = _of_type(value, dict)
        if not needed <= fields.keys() <= readers.keys():
            wrong = sorted((needed - fields.keys()) | (fields.keys() - readers.keys()))
            raise LocalError(f"a {kind.__name__} with wrong fields: {', '.join(wrong)}")
        return kind(**{name: readers[name](it) for name, it in fields.items()})

    return read


def _tuple_reader(hint: Any) -> _Read:
    inner = get_args(hint)
    if inner[-1] is ...:
        read = _reader(inner[0])
        return lambda value: tuple(read(it) for it in _of_type(value, list))
    readers = [_reader(it) for it in inner]

    def read_all(value: Plain) -> Any:
        values = _of_type(value, list)
        if len(values) != len(readers):
            raise LocalError(f"{len(values)} values where {len(readers)} are expected")
        return tuple(each(it) for each, it in zip(readers, values, strict=True))

    return read_all


def _union_reader(hint: Any) -> _Read:
    kinds = [it for it in get_args(hint) if it is not NoneType]
    if len(kinds) == 1:
        read = _reader(kinds[0])
        return lambda value: None if value is None else read(value)
    readers: Mapping[str, _Read] = {kind.__name__: _reader(kind) for kind in kinds}

    def read_named(value: Plain) -> Any:
        match value:
            case [str(name), fields] if name in readers:
                return readers[name](fields)
            case _:
                raise LocalError(f"{_short(value)} is none of {', '.join(sorted(readers))}")

    return read_named


def _read_peer(value: Plain) -> PeerId:
    data = read_bytes(value)
    if len(data) != PUBLIC_KEY_BYTES:
        raise LocalError(f"a peer of {len(data)} bytes, not {PUBLIC_KEY_BYTES}")
    return PeerId(data)


def _read_number(value: Plain) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if type(value) is not int and not (type(value) is float and math.isfinite(value)):
        raise LocalError(f"{_short(value)} is no number")
    number: float = value
    return number


def _read_choice(kind: type[StrEnum], value: Plain) -> StrEnum:
    try:
        return kind(value)
    except ValueError as error:
        raise LocalError(f"{_short(value)} is no {kind.__name__}") from error


def _of_type(value: Plain, kind: type) -> Any:
    if type(value) is not kind:  # a bool is no number
        raise LocalError(f"{_short(value)} is no {kind.__name__}")
    return value


def _has_fields(hint: Any) -> bool:
    """Return whether it is a class with fields: a struct, or a dataclass as of configurations."""
    return dataclasses.is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, Struct))


def _fields(kind: Any) -> dict[str, bool]:
    """Return the names of the fields of such a class, and whether each has to be given."""
    if issubclass(kind, Struct):
        return {it.name: it.required for it in structs.fields(kind)}
    fields, missing = dataclasses.fields(kind), dataclasses.MISSING
    return {it.name: it.default is missing and it.default_factory is missing for it in fields}


def _plain_hint(hint: Any) -> Any:
    is_other = isinstance(hint, NewType) and hint is not PeerId
    return hint.__supertype__ if is_other else hint


def _short(value: Plain) -> str:
    text = repr(value)
    return text if len(text) <= _TEXT_CHARACTERS_MAX else f"{text[:_TEXT_CHARACTERS_MAX]}…"
