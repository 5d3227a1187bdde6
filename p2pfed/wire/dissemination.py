"""Frames about updates: fields of each message, there and back.

A `*_fields` function returns what stands in the frame after the tag; its `read_*` counterpart
takes exactly as many decoded values, checks each, and builds the message.
"""

from collections.abc import Sequence
from itertools import pairwise

from p2pfed.errors import SchemaError
from p2pfed.identity import PeerId
from p2pfed.limits import (
    HEADS_ENTRIES_MAX,
    INLINE_PAYLOAD_BYTES_MAX,
    REQUEST_IDS_MAX,
    REQUEST_RANGE_MAX,
    SEQUENCE_MAX,
    SIGHTINGS_MAX,
)
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Head,
    Heads,
    Heartbeat,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Sighting,
)
from p2pfed.wire import schema
from p2pfed.wire.headers import read_signed, signed_value


def announce_fields(message: Announce) -> list[object]:
    """Return the fields of an Announce."""
    return [signed_value(message.update)]


def read_announce(fields: list[object]) -> Announce:
    """Read the fields of an Announce."""
    (update,) = fields
    return Announce(update=read_signed(update, name="update"))


def deliver_fields(message: Deliver) -> list[object]:
    """Return the fields of a Deliver."""
    return [signed_value(message.update), message.payload]


def read_deliver(fields: list[object]) -> Deliver:
    """Read the fields of a Deliver; the payload's hash is not checked here."""
    update, payload = fields
    message = Deliver(
        update=read_signed(update, name="update"),
        payload=schema.bytes_up_to(payload, INLINE_PAYLOAD_BYTES_MAX, name="payload"),
    )
    if len(message.payload) != message.update.header.payload_bytes:
        raise SchemaError(
            f"payload has {len(message.payload)} bytes, "
            f"its header says {message.update.header.payload_bytes}"
        )
    return message


def heads_fields(message: Heads) -> list[object]:
    """Return the fields of a Heads; of the cursor only whether there is one."""
    return [message.digest, head_values(message.entries), message.cursor is not None]


def head_values(entries: Sequence[Head]) -> list[object]:
    """Return heads as they stand in a frame and under the digest."""
    return [[entry.author, entry.incarnation, entry.sequence] for entry in entries]


def read_heads(fields: list[object]) -> Heads:
    """Read the fields of a Heads."""
    digest, values, has_more = fields
    found = schema.array_up_to(values, HEADS_ENTRIES_MAX, name="entries")
    entries = tuple(_read_head(value) for value in found)
    places = [(entry.author, entry.incarnation) for entry in entries]
    _check_ascending(places, "entries")
    if schema.boolean(has_more, name="more"):
        if not places:
            raise SchemaError("a page without entries is followed by none")
        cursor = places[-1]
    else:
        cursor = None
    return Heads(digest=schema.digest(digest, name="digest"), entries=entries, cursor=cursor)


def request_updates_fields(message: RequestUpdates) -> list[object]:
    """Return the fields of a RequestUpdates."""
    return [list(message.update_ids)]


def read_request_updates(fields: list[object]) -> RequestUpdates:
    """Read the fields of a RequestUpdates."""
    (values,) = fields
    found = schema.array_up_to(values, REQUEST_IDS_MAX, name="update_ids", count_min=1)
    update_ids = tuple(schema.digest(value, name="an update id") for value in found)
    if len(set(update_ids)) != len(update_ids):
        raise SchemaError("update_ids names one twice")
    return RequestUpdates(update_ids=update_ids)


def request_range_fields(message: RequestRange) -> list[object]:
    """Return the fields of a RequestRange."""
    return [message.author, message.incarnation, message.first, message.last]


def read_request_range(fields: list[object]) -> RequestRange:
    """Read the fields of a RequestRange."""
    author, incarnation, first, last = fields
    low = schema.integer(first, 1, SEQUENCE_MAX, name="first")
    high = min(low + REQUEST_RANGE_MAX - 1, SEQUENCE_MAX)
    return RequestRange(
        author=_read_author(author),
        incarnation=schema.incarnation(incarnation, name="incarnation"),
        first=low,
        last=schema.integer(last, low, high, name="last"),
    )


def request_full_fields(message: RequestFull) -> list[object]:
    """Return the fields of a RequestFull."""
    return [message.author]


def read_request_full(fields: list[object]) -> RequestFull:
    """Read the fields of a RequestFull."""
    (author,) = fields
    return RequestFull(author=_read_author(author))


def request_heads_fields(message: RequestHeads) -> list[object]:
    """Return the fields of a RequestHeads."""
    return [None if message.after is None else list(message.after)]


def read_request_heads(fields: list[object]) -> RequestHeads:
    """Read the fields of a RequestHeads."""
    (after,) = fields
    if after is None:
        return RequestHeads(after=None)
    author, incarnation = schema.array(after, count=2, name="after")
    return RequestHeads(
        after=(_read_author(author), schema.incarnation(incarnation, name="after.incarnation"))
    )


def heartbeat_fields(message: Heartbeat) -> list[object]:
    """Return the fields of a Heartbeat."""
    sightings = [
        [seen.author, seen.incarnation, seen.sequence, seen.update_id] for seen in message.sightings
    ]
    return [message.active, sightings]


def read_heartbeat(fields: list[object]) -> Heartbeat:
    """Read the fields of a Heartbeat."""
    active, values = fields
    found = schema.array_up_to(values, SIGHTINGS_MAX, name="sightings")
    sightings = tuple(_read_sighting(value) for value in found)
    _check_ascending([(seen.author, seen.incarnation) for seen in sightings], "sightings")
    return Heartbeat(active=schema.boolean(active, name="active"), sightings=sightings)


def evidence_fields(message: Evidence) -> list[object]:
    """Return the fields of an Evidence."""
    return [signed_value(message.first), signed_value(message.second)]


def read_evidence(fields: list[object]) -> Evidence:
    """Read the fields of an Evidence; the signatures are not verified here."""
    first = read_signed(fields[0], name="first")
    second = read_signed(fields[1], name="second")
    for name in ("run_id", "author", "incarnation", "sequence"):
        if getattr(first.header, name) != getattr(second.header, name):
            raise SchemaError(f"evidence of two headers that differ in {name}")
    if first.update_id >= second.update_id:
        raise SchemaError("evidence whose two update ids are not in ascending order")
    return Evidence(first=first, second=second)


def _read_author(value: object) -> PeerId:
    return PeerId(schema.public_key(value, name="author"))


def _read_head(value: object) -> Head:
    author, incarnation, sequence = schema.array(value, count=3, name="an entry")
    return Head(
        author=_read_author(author),
        incarnation=schema.incarnation(incarnation, name="incarnation"),
        sequence=schema.integer(sequence, 1, SEQUENCE_MAX, name="sequence"),
    )


def _read_sighting(value: object) -> Sighting:
    author, incarnation, sequence, update_id = schema.array(value, count=4, name="a sighting")
    return Sighting(
        author=_read_author(author),
        incarnation=schema.incarnation(incarnation, name="incarnation"),
        sequence=schema.integer(sequence, 1, SEQUENCE_MAX, name="sequence"),
        update_id=schema.digest(update_id, name="update_id"),
    )


def _check_ascending(places: list[tuple[PeerId, int]], name: str) -> None:
    if any(one >= other for one, other in pairwise(places)):
        raise SchemaError(f"{name} are not in ascending order of author and incarnation")
