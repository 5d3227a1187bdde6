"""Events and messages as people read them: peers by number, hashes by their first digits."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from p2pfed.core.events import Event, FrameReceived
from p2pfed.errors import RemoteError
from p2pfed.identity import PeerId
from p2pfed.messages import SignedHeader
from p2pfed.wire import frames

_TEXT_CHARACTERS_MAX: Final = 200  # of an entry, on two lines of most screens
_HEXADECIMAL_DIGITS: Final = 8  # of a hash; no two of a run begin alike
_HASH_BYTES_MAX: Final = 64  # more are content, of which the length is told
_ITEMS_MAX: Final = 3  # of a list
# Of the header of an update; the others follow from the run and from what came before.
_HEADER_FIELDS: Final = ("author", "sequence", "kind", "round", "payload_bytes", "payload_hash")


def words_of(event: Event, numbers: Mapping[PeerId, int]) -> str:
    """Return what an event says, in a line: of a frame the kind of its message, and its fields.

    Args:
        event: Not its name, which stands before.
        numbers: Of the peers, by id.
    """
    said = _frame(event, numbers) if isinstance(event, FrameReceived) else _fields(event, numbers)
    return said if len(said) <= _TEXT_CHARACTERS_MAX else f"{said[:_TEXT_CHARACTERS_MAX]}…"


def _frame(event: FrameReceived, numbers: Mapping[PeerId, int]) -> str:
    sender = f"from peer {_value(event.peer, numbers)}"
    try:
        message = frames.decode(event.frame)
    except RemoteError as error:
        return f"{len(event.frame)} bytes that are no message ({error.kind}) {sender}"
    return f"{type(message).__name__} {sender}: {_fields(message, numbers)}"


def _fields(record: Struct, numbers: Mapping[PeerId, int]) -> str:
    """Return the fields that say something; those without a value are left out."""
    if isinstance(record, SignedHeader):
        values = [(name, getattr(record.header, name)) for name in _HEADER_FIELDS]
    else:
        values = [(name, getattr(record, name)) for name in record.__struct_fields__]
    return ", ".join(
        f"{name}={_value(value, numbers)}"
        for name, value in values
        if value is not None and value not in ("", b"", ())
    )


def _value(value: object, numbers: Mapping[PeerId, int]) -> str:
    match value:
        case bytes() if value in numbers:
            return str(numbers[PeerId(value)])
        case bytes() if len(value) > _HASH_BYTES_MAX:
            return f"{len(value)} bytes"
        case bytes():
            return value.hex()[:_HEXADECIMAL_DIGITS]
        case tuple():
            items = [_value(item, numbers) for item in value[:_ITEMS_MAX]]
            more = len(value) - len(items)
            return f"({', '.join(items)}{f' and {more} more' if more else ''})"
        case str() if type(value) is str:
            return repr(value)  # of a peer: it may hold line ends
        case Struct():
            return f"({_fields(value, numbers)})"
        case _:
            return str(value)
