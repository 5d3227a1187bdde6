"""Frames about peers: fields of Hello, PeerRecords and Goodbye, there and back."""

from typing import Final

from p2pfed.errors import SchemaError
from p2pfed.limits import (
    GENESIS_BYTES_MAX,
    GENESIS_FIELDS_MAX,
    PEER_RECORDS_MAX,
    SEQUENCE_MAX,
    VERSION_MAX,
)
from p2pfed.messages import Goodbye, GoodbyeReason, Hello, PeerRecords, Role
from p2pfed.wire import schema
from p2pfed.wire.headers import read_record, record_value

FIELD_DIGEST_BYTES: Final = 8  # names a difference to people; nothing is trusted because of it

_ROLES: Final = {role.value: role for role in Role}
_REASONS: Final = {reason.value: reason for reason in GoodbyeReason}


def hello_fields(message: Hello) -> list[object]:
    """Return the fields of a Hello."""
    newest = message.newest_of_yours
    return [
        message.version,
        message.run_id,
        message.genesis_bytes,
        [[name, digest] for name, digest in message.genesis_fields],
        message.incarnation,
        message.role.value,
        message.software,
        None if newest is None else list(newest),
    ]


def read_hello(fields: list[object]) -> Hello:
    """Read the fields of a Hello; whether version and run are ours is the core's to judge."""
    version, run_id, genesis_bytes, digests, incarnation, role, software, newest = fields
    return Hello(
        version=schema.integer(version, 1, VERSION_MAX, name="version"),
        run_id=schema.digest(run_id, name="run_id"),
        genesis_bytes=schema.integer(genesis_bytes, 1, GENESIS_BYTES_MAX, name="genesis_bytes"),
        genesis_fields=_read_genesis_fields(digests),
        incarnation=schema.incarnation(incarnation, name="incarnation"),
        role=schema.chosen(role, _ROLES, name="role"),
        software=schema.text(software, name="software"),
        newest_of_yours=_read_newest(newest),
    )


def peer_records_fields(message: PeerRecords) -> list[object]:
    """Return the fields of a PeerRecords."""
    return [[record_value(record) for record in message.records]]


def read_peer_records(fields: list[object]) -> PeerRecords:
    """Read the fields of a PeerRecords; the signatures are not verified here."""
    found = schema.array_up_to(fields[0], PEER_RECORDS_MAX, name="records")
    return PeerRecords(records=tuple(read_record(value) for value in found))


def goodbye_fields(message: Goodbye) -> list[object]:
    """Return the fields of a Goodbye."""
    return [message.reason.value, message.text]


def read_goodbye(fields: list[object]) -> Goodbye:
    """Read the fields of a Goodbye."""
    reason, text = fields
    return Goodbye(
        reason=schema.chosen(reason, _REASONS, name="reason"),
        text=schema.text(text, name="text"),
    )


def _read_genesis_fields(value: object) -> tuple[tuple[str, bytes], ...]:
    found = []
    for pair in schema.array_up_to(value, GENESIS_FIELDS_MAX, name="genesis_fields"):
        name, digest = schema.array(pair, count=2, name="a genesis field")
        found.append(
            (
                schema.key(name, name="the name of a genesis field"),
                schema.exact_bytes(digest, FIELD_DIGEST_BYTES, name="a genesis field's digest"),
            )
        )
    if len(dict(found)) != len(found):
        raise SchemaError("genesis_fields names one twice")
    return tuple(found)


def _read_newest(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    incarnation, sequence = schema.array(value, count=2, name="newest_of_yours")
    return (
        schema.incarnation(incarnation, name="newest_of_yours.incarnation"),
        schema.integer(sequence, 1, SEQUENCE_MAX, name="newest_of_yours.sequence"),
    )
