"""What one simulated machine has on disk."""

from dataclasses import dataclass
from typing import final

from p2pfed.core.effects import Save


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
        records: By key.
        last: The model that goes with the records.
        best: The model with the best validation score so far.
    """

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.last: SavedModel | None = None
        self.best: SavedModel | None = None

    def write(self, save: Save, model: SavedModel | None) -> None:
        """Make everything of a `Save` durable.

        Args:
            save: The effect.
            model: The current model, when the effect names one and models are kept.
        """
        for record in save.records:
            if record.value is None:
                self.records.pop(record.key, None)
            else:
                self.records[record.key] = record.value
        if model is not None:
            self.last = model
            if save.best_model:
                self.best = model
