"""An own entry of a ledger that may or may not be signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.core.effects import OwnPlace
from p2pfed.errors import LocalError, RemoteError
from p2pfed.learn.ledger_entries import AnyLedger, Entry, entry_bytes
from p2pfed.updates.log import Snapshot
from p2pfed.updates.saved_bytes import from_bytes, to_bytes

_ENTRY: Final = "entry"
_PLACE: Final = "place"  # incarnation, sequence, and whether the entry is a snapshot
_WAITING: Final = "waiting"


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pending:
    """What the last training made. It is in no ledger before it is known to be signed.

    Attributes:
        incarnation: Under which it would be signed.
        sequence: Under which it would be signed.
        entry: The operation, or the snapshot in place of it.
        waiting: What the operation leaves out, for `LedgerAuthor.accept`.
    """

    incarnation: int
    sequence: int
    entry: Entry
    waiting: Tensor | None

    def is_out(self, place: OwnPlace) -> bool:
        """Tell whether it is the newest own update."""
        return (self.incarnation, self.sequence) == (place.incarnation, place.sequence)

    def to_tensors(self, ledger: AnyLedger) -> dict[str, Tensor]:
        """Return all of it, as tensors by name."""
        signed = int.from_bytes(self.incarnation.to_bytes(8), signed=True)
        is_snapshot = isinstance(self.entry, Snapshot)
        tensors = {
            _ENTRY: from_bytes(entry_bytes(ledger, self.entry)),
            _PLACE: torch.tensor([signed, self.sequence, int(is_snapshot)]),
        }
        return tensors if self.waiting is None else {**tensors, _WAITING: self.waiting.clone()}


def pending_of(tensors: Mapping[str, Tensor], ledger: AnyLedger) -> Pending | None:
    """Return what `Pending.to_tensors` described, None where there was nothing.

    Raises:
        LocalError: If it is something else, or of another ledger's terms.
    """
    if not tensors:
        return None
    waiting, size = tensors.get(_WAITING), ledger.terms.size
    is_vector = waiting is None or (waiting.shape, waiting.dtype) == ((size,), torch.float32)
    try:
        signed, sequence, is_snapshot = tensors[_PLACE].tolist()
        incarnation = int.from_bytes(signed.to_bytes(8, signed=True))
        data = to_bytes(tensors[_ENTRY])
        entry: Entry = ledger.decode_snapshot(data) if is_snapshot else ledger.decode(data)
    except (RemoteError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise LocalError(f"the saved own update cannot be read: {error}") from error
    if not is_vector:
        raise LocalError("the saved own update is of another model")
    return Pending(incarnation=incarnation, sequence=sequence, entry=entry, waiting=waiting)
