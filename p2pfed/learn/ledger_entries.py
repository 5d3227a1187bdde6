"""Updates of a run whose model is a SeedLedger: operations, and snapshots in place of them."""

from typing import Final

from p2pfed.errors import SpecMismatch
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.author_logs import Receipt, Writer
from p2pfed.updates.seed_ledger import operation as operations
from p2pfed.updates.seed_ledger import snapshot as snapshots
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.snapshot import Snapshot
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.wire.payload import MAIN, decode_payload, encode_payload

CODEC: Final = "operation"  # stands in headers and in the genesis where other runs name a codec

Entry = Operation | Snapshot


def encode_entry(entry: Entry) -> bytes:
    """Return the payload of an entry."""
    if isinstance(entry, Operation):
        return encode_payload(operations.encode(entry), {})
    return encode_payload(snapshots.encode(entry), {})


def decode_entry(header: UpdateHeader, payload: bytes, *, method: str, terms: Terms) -> Entry:
    """Read an update of another peer, without the ledger that it belongs to.

    Args:
        header: Its header.
        payload: Any bytes.
        method: The run's update method.
        terms: Of the run.

    Raises:
        RemoteError: If it is no entry of this run's ledger; nothing else, whatever the bytes.
    """
    kinds = (UpdateKind.OPERATION, UpdateKind.SNAPSHOT)
    if header.kind not in kinds or (header.method, header.codec) != (method, CODEC):
        raise SpecMismatch(
            f"update of {header.kind}/{header.method}/{header.codec}, this run has "
            f"{' or '.join(kinds)}/{method}/{CODEC}"
        )
    if header.kind is UpdateKind.OPERATION:
        limits = {MAIN: operations.bytes_max(terms)}
        return operations.decode(decode_payload(payload, section_bytes_max=limits).main, terms)
    limits = {MAIN: snapshots.bytes_max(terms)}
    return snapshots.decode(decode_payload(payload, section_bytes_max=limits).main, terms)


def main_bytes_max(terms: Terms) -> int:
    """Return the most bytes that an entry can have in its main section."""
    return max(operations.bytes_max(terms), snapshots.bytes_max(terms))


def take_in(ledger: SeedLedger, writer: Writer, sequence: int, entry: Entry) -> Receipt:
    """Apply an operation, or adopt a snapshot.

    Raises:
        RemoteError: If the ledger refuses it; nothing is changed then.
    """
    if isinstance(entry, Operation):
        return ledger.apply(writer, sequence, entry)
    return ledger.adopt(writer, sequence, entry.sums, entry.digest)
