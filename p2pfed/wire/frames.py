"""Control frames: one message each, as a canonical msgpack array of a tag and the fields."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from p2pfed.errors import LocalError, RemoteError, SchemaError, SpecMismatch
from p2pfed.limits import FRAME_BYTES_MAX, PROTOCOL_VERSION
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Goodbye,
    Head,
    Heads,
    Heartbeat,
    Hello,
    Message,
    PeerRecords,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    UpdateHeader,
)
from p2pfed.wire import canonical
from p2pfed.wire import dissemination as updates
from p2pfed.wire import membership as peers
from p2pfed.wire.hashes import content_hash

_Kind = TypeVar("_Kind", bound=Message)


class Form(Struct, Generic[_Kind], frozen=True):
    """How one message stands in a frame.

    Attributes:
        tag: First element of the frame; never given to another message.
        message: The class.
        count: Elements after the tag.
        fields: Returns these elements.
        read: Checks decoded elements and builds the message, raising only `RemoteError`.
    """

    tag: int
    message: type[_Kind]
    count: int
    fields: Callable[[_Kind], list[object]]
    read: Callable[[list[object]], _Kind]


FORMS: Final[tuple[Form[Any], ...]] = (
    Form(1, Hello, 8, peers.hello_fields, peers.read_hello),
    Form(2, Announce, 1, updates.announce_fields, updates.read_announce),
    Form(3, Deliver, 2, updates.deliver_fields, updates.read_deliver),
    Form(4, Heads, 3, updates.heads_fields, updates.read_heads),
    Form(5, RequestUpdates, 1, updates.request_updates_fields, updates.read_request_updates),
    Form(6, RequestRange, 4, updates.request_range_fields, updates.read_request_range),
    Form(7, RequestFull, 1, updates.request_full_fields, updates.read_request_full),
    Form(8, RequestHeads, 1, updates.request_heads_fields, updates.read_request_heads),
    Form(9, Heartbeat, 2, updates.heartbeat_fields, updates.read_heartbeat),
    Form(10, Evidence, 2, updates.evidence_fields, updates.read_evidence),
    Form(11, PeerRecords, 1, peers.peer_records_fields, peers.read_peer_records),
    Form(12, Goodbye, 2, peers.goodbye_fields, peers.read_goodbye),
)

_BY_TAG: Final = {form.tag: form for form in FORMS}
_BY_CLASS: Final = {form.message: form for form in FORMS}


def encode(message: Message) -> bytes:
    """Return the frame of a message.

    Raises:
        LocalError: If the message breaks a rule of the schema; no peer would take the frame.
    """
    form = _BY_CLASS[type(message)]
    fields = form.fields(message)
    # What is sent passes the very checks that the receiver makes, so the two cannot drift apart.
    try:
        is_same = form.read(fields) == message
    except RemoteError as error:
        raise LocalError(f"cannot send this {form.message.__name__}: {error}") from error
    if not is_same:
        raise LocalError(
            f"cannot send this {form.message.__name__}: its parts contradict each other, or a "
            "list stands for a tuple"
        )
    frame = canonical.pack([form.tag, *fields])
    assert len(frame) <= FRAME_BYTES_MAX  # the limits of the fields add up to less
    return frame


def decode(frame: bytes) -> Message:
    """Return the message of a frame, with everything checked but signatures and payload hash.

    The order of the checks is size, canonical form, schema. A frame and its message determine
    each other: `encode(decode(frame)) == frame`.

    Raises:
        RemoteError: Of a kind that says what is wrong; nothing else, whatever the bytes.
    """
    value = canonical.unpack(frame, bytes_max=FRAME_BYTES_MAX)
    if not isinstance(value, list) or not value:
        raise SchemaError("a frame is an array that starts with a tag")
    tag, *fields = value
    form = _BY_TAG.get(tag) if type(tag) is int else None
    if form is None:
        raise SchemaError("no message has this tag")
    if len(fields) != form.count:
        if form.message is Hello:
            _check_version(fields)
        raise SchemaError(f"{form.message.__name__} has {len(fields)} fields, not {form.count}")
    message: Message = form.read(fields)
    return message


def heads_digest(entries: Sequence[Head]) -> bytes:
    """Return the BLAKE3-256 of a whole version vector, in whatever order it is given.

    Args:
        entries: All heads; no two of the same author and incarnation.
    """
    ordered = sorted(entries, key=lambda entry: (entry.author, entry.incarnation))
    return content_hash(canonical.pack(updates.head_values(ordered)))


def check_payload(header: UpdateHeader, payload: bytes) -> None:
    """Check a whole payload against the header that announced it.

    Raises:
        SchemaError: If size or hash differ.
    """
    if len(payload) != header.payload_bytes:
        raise SchemaError(f"payload has {len(payload)} bytes, not {header.payload_bytes}")
    if content_hash(payload) != header.payload_hash:
        raise SchemaError("payload has another hash than its header says")


def _check_version(fields: list[object]) -> None:
    """Tell a Hello of another protocol version, whose fields we cannot know, from a wrong one."""
    if fields and type(fields[0]) is int and fields[0] != PROTOCOL_VERSION:
        raise SpecMismatch(f"protocol version {PROTOCOL_VERSION} here, {fields[0]} there")
