"""Updates of a run whose model is a ledger: operations, and snapshots in place of them."""

from typing import Any, TypeAlias

from blake3 import blake3

from p2pfed.errors import CodecError, SpecMismatch
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.log import Operation, Receipt, Snapshot, Writer
from p2pfed.wire.payload import MAIN, decode_payload, encode_payload

Entry: TypeAlias = Operation | Snapshot
AnyLedger: TypeAlias = AuthorLogs[Any, Any, Any]


def encode_entry(ledger: AnyLedger, entry: Entry) -> bytes:
    """Return the payload of an entry."""
    return encode_payload(entry_bytes(ledger, entry), {})


def entry_bytes(ledger: AnyLedger, entry: Entry) -> bytes:
    """Return the main section of an entry."""
    return entry.to_bytes() if isinstance(entry, Snapshot) else ledger.encode(entry)


def decode_entry(
    header: UpdateHeader,
    payload: bytes,
    *,
    method: str,
    codec: str,
    ledger: AnyLedger,
    check: bool = True,
) -> Entry:
    """Read an update of another peer, without regard to what is in the ledger.

    Args:
        header: Its header.
        payload: Any bytes.
        method: The run's update method.
        codec: The run's codec.
        ledger: Of the run.
        check: Whether to look into the sums of a snapshot; `take_in` does, where it needs them.

    Raises:
        RemoteError: If it is no entry of this run's ledger; nothing else, whatever the bytes.
    """
    kinds = (UpdateKind.OPERATION, UpdateKind.SNAPSHOT)
    if header.kind not in kinds or (header.method, header.codec) != (method, codec):
        raise SpecMismatch(
            f"update of {header.kind}/{header.method}/{header.codec}, this run has "
            f"{' or '.join(kinds)}/{method}/{codec}"
        )
    if header.kind is UpdateKind.OPERATION:
        limits = {MAIN: ledger.operation_bytes_max}
        entry: Entry = ledger.decode(decode_payload(payload, section_bytes_max=limits).main)
        return entry
    limits = {MAIN: ledger.snapshot_bytes_max}
    main = decode_payload(payload, section_bytes_max=limits).main
    return ledger.decode_snapshot(main, check=check)


def remake_snapshot(ledger: AnyLedger, header: UpdateHeader) -> bytes | None:
    """Make the payload of an author's snapshot, which adds nothing, of its log as it is here.

    Args:
        ledger: Which may have that log.
        header: Of the snapshot.

    Returns:
        The payload, or None where the log has not come as far, or is further.

    Raises:
        CodecError: If the log is what the snapshot is of and the payload another one.
    """
    log = ledger.log(Writer(header.author, header.incarnation))
    if log.sequence != header.sequence - 1:
        return None
    payload = encode_entry(ledger, Snapshot.of(log))
    if blake3(payload).digest() != header.payload_hash:
        raise CodecError(f"snapshot {header.sequence} is not that of its author's log")
    return payload


def main_bytes_max(ledger: AnyLedger) -> int:
    """Return the most bytes that an entry can have in its main section."""
    return max(ledger.operation_bytes_max, ledger.snapshot_bytes_max)


def take_in(ledger: AnyLedger, writer: Writer, sequence: int, entry: Entry) -> Receipt:
    """Apply an operation, or adopt a snapshot.

    Raises:
        RemoteError: If the ledger refuses it, or has the log up to a snapshot that says something
            else; nothing is changed then.
    """
    if isinstance(entry, Snapshot):
        if sequence == ledger.sequence(writer) + 1:
            return ledger.confirm(writer, sequence, entry.digest)
        return ledger.adopt(writer, sequence, entry.sums, entry.digest)
    return ledger.apply(writer, sequence, entry)
