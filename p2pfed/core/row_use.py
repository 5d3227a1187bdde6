"""Whether what neighbors send is ever used, so that a run that only seems to share says so."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, final

from p2pfed.core.events import Verdict

_REASONS_MAX: Final = 16  # they have counts and sizes in them; beyond these they are not told apart
_OTHER: Final = "for other reasons"

NOTHING_CAME: Final = "no row of a neighbor ever came, so that nobody learned from others"


@final
class RowUse:
    """Counts integrations, the rows that had a part in them, and why others had none."""

    def __init__(self) -> None:
        self._integrations = 0
        self._used = 0
        self._refused = 0
        self._was_in_vain = False
        self._reasons: Counter[str] = Counter()

    def add(self, verdicts: Sequence[Verdict], note: str, *, has_neighbors: bool) -> None:
        """Take in one round.

        Args:
            verdicts: Of its integration; without any there was none.
            note: Why its rows had no part in it, or empty.
            has_neighbors: Whether there is somebody of whom a row could have come: who is alone on
                purpose misses none.
        """
        if not verdicts:
            self._was_in_vain = self._was_in_vain or has_neighbors
            return
        self._integrations += 1
        self._used += sum(verdict.weight > 0.0 for verdict in verdicts)
        for reason in [note] if note else [it.reason for it in verdicts]:
            self._count(reason)

    def refuse(self, reason: str) -> None:
        """Take in one update that was not even taken for integration."""
        self._refused += 1
        self._count(reason)

    def warning(self) -> str | None:
        """Say that no row was ever used and what the most frequent reason was; None if one was."""
        if self._used:
            return None
        if not (self._integrations or self._refused):
            return NOTHING_CAME if self._was_in_vain else None
        said = "no row of a neighbor was used"
        if self._integrations:
            said += f" in {_counted(self._integrations, 'integration')}"
        if self._refused:
            said += f"; {_counted(self._refused, 'update')} refused before"
        for reason, _ in self._reasons.most_common(1):
            said += f", so that nobody learned from others: {reason}"
        return said

    def _count(self, reason: str) -> None:
        if reason:
            is_known = reason in self._reasons or len(self._reasons) < _REASONS_MAX
            self._reasons[reason if is_known else _OTHER] += 1


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"
