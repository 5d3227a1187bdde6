"""What one simulated machine has on disk."""

from dataclasses import dataclass
from typing import Final, final

from p2pfed.core.effects import Save

_BEGINNING_BYTES: Final = 64  # guess: of a payload, to look for


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """A model as the bench saved it.

    Attributes:
        job: The job that made it.
        state: The bench's bytes.
    """

    job: int
    state: bytes


@final
class Disk:
    """Records and models; each write is one transaction and durable at once.

    Attributes:
        last: The model that goes with the records.
        best: The model with the best validation score so far.
    """

    def __init__(self) -> None:
        self.last: SavedModel | None = None
        self.best: SavedModel | None = None
        self._pieces: dict[str, tuple[bytes, ...]] = {}  # of each record

    def records(self) -> dict[str, bytes]:
        """Return a copy of all records, by key."""
        return {key: self.read(key) for key in self._pieces}

    def read(self, key: str) -> bytes:
        """Return a record, empty if there is none."""
        return b"".join(self._pieces.get(key, ()))

    def write(self, save: Save, model: SavedModel | None, payload: bytes | None = None) -> None:
        """Make everything of a `Save` durable.

        Args:
            save: The effect.
            model: The current model, when the effect names one and models are kept.
            payload: One that may be in a record and that others hold too: it is not copied.
        """
        for record in save.records:
            if record.value is None:
                self._pieces.pop(record.key, None)
            else:
                self._pieces[record.key] = _cut(record.value, payload or b"")
        if model is not None:
            self.last = model
            if save.best_model:
                self.best = model


def _cut(record: bytes, payload: bytes) -> tuple[bytes, ...]:
    """Return a record in pieces, of which one is the payload if that is found at once."""
    # To search for all of it takes a hundred times as long.
    start = record.find(payload[:_BEGINNING_BYTES])
    if not payload or start < 0 or not record.startswith(payload, start):
        return (record,)
    return record[:start], payload, record[start + len(payload) :]
