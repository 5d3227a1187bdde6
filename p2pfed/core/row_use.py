"""Whether what neighbors send is ever used, so that a run that only seems to share says so."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, final

from p2pfed.core.events import Verdict

_NOTES_MAX: Final = 16  # notes have counts of rows in them; beyond these they are not told apart
_OTHER: Final = "for other reasons"


@final
class RowUse:
    """Counts integrations, the rows that had a part in them, and why own models were kept."""

    def __init__(self) -> None:
        self._integrations = 0
        self._used = 0
        self._notes: Counter[str] = Counter()

    def add(self, verdicts: Sequence[Verdict], note: str) -> None:
        """Take in one integration; one without any row is none."""
        if not verdicts:
            return
        self._integrations += 1
        self._used += sum(verdict.weight > 0.0 for verdict in verdicts)
        if note:
            is_known = note in self._notes or len(self._notes) < _NOTES_MAX
            self._notes[note if is_known else _OTHER] += 1

    def warning(self) -> str | None:
        """Say that no row was ever used and what the most frequent reason was; None if one was."""
        if self._used or not self._integrations:
            return None
        count = self._integrations
        said = f"no row of a neighbor was used in {count} integration{'s' if count > 1 else ''}"
        for note, _ in self._notes.most_common(1):
            said += f", so that nobody learned from others: {note}"
        return said
