"""An own entry of a SeedLedger that may or may not be signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor

from p2pfed.core.effects import OwnPlace
from p2pfed.errors import LocalError, RemoteError
from p2pfed.learn.ledger_entries import Entry
from p2pfed.updates.saved_bytes import from_bytes, to_bytes
from p2pfed.updates.seed_ledger import operation as operations
from p2pfed.updates.seed_ledger import snapshot as snapshots
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms

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
        waiting: What the operation leaves out, for `LocalTraining.accept`.
    """

    incarnation: int
    sequence: int
    entry: Entry
    waiting: Tensor | None

    def is_out(self, place: OwnPlace) -> bool:
        """Tell whether it is the newest own update."""
        return (self.incarnation, self.sequence) == (place.incarnation, place.sequence)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all of it, as tensors by name."""
        is_operation = isinstance(self.entry, Operation)
        data = (
            operations.encode(self.entry)
            if isinstance(self.entry, Operation)
            else snapshots.encode(self.entry)
        )
        signed = int.from_bytes(self.incarnation.to_bytes(8), signed=True)
        place = torch.tensor([signed, self.sequence, int(not is_operation)])
        tensors = {_ENTRY: from_bytes(data), _PLACE: place}
        return tensors if self.waiting is None else {**tensors, _WAITING: self.waiting.clone()}


def pending_of(tensors: Mapping[str, Tensor], terms: Terms) -> Pending | None:
    """Return what `Pending.to_tensors` described, None where there was nothing.

    Raises:
        LocalError: If it is something else, or of other terms.
    """
    if not tensors:
        return None
    waiting = tensors.get(_WAITING)
    is_vector = waiting is None or (waiting.shape, waiting.dtype) == ((terms.size,), torch.float32)
    try:
        signed, sequence, is_snapshot = tensors[_PLACE].tolist()
        incarnation = int.from_bytes(signed.to_bytes(8, signed=True))
        data = to_bytes(tensors[_ENTRY])
        decode = snapshots.decode if is_snapshot else operations.decode
        entry: Entry = decode(data, terms)
    except (RemoteError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise LocalError(f"the saved own update cannot be read: {error}") from error
    if not is_vector:
        raise LocalError("the saved own update is of another model")
    return Pending(incarnation=incarnation, sequence=sequence, entry=entry, waiting=waiting)
