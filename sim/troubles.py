"""Jobs that failed on simulated machines, so that a run in which nobody learns says why."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, final

from p2pfed.core.effects import Effect, Notify
from p2pfed.core.events import Event, JobFailed
from p2pfed.core.notices import JobTrouble

_REASONS_MAX: Final = 64  # reasons have numbers in them; beyond these they are not told apart
_OTHER: Final = "other reasons"


def trouble_of(event: Event, effects: Sequence[Effect]) -> str | None:
    """Return why a job failed, if an event says that one did and its peer tells of it.

    A budget that is spent is no failure: training ends as it was asked to.
    """
    if not isinstance(event, JobFailed) or event.budget_spent:
        return None
    notices = [effect.notice for effect in effects if isinstance(effect, Notify)]
    return event.reason if any(isinstance(it, JobTrouble) for it in notices) else None


@final
class Troubles:
    """Counts failed jobs of honest peers."""

    def __init__(self) -> None:
        self._peers: set[int] = set()
        self._reasons: Counter[str] = Counter()

    def add(self, peer: int, reason: str) -> None:
        """Count a job that failed at a peer."""
        self._peers.add(peer)
        is_known = reason in self._reasons or len(self._reasons) < _REASONS_MAX
        self._reasons[reason if is_known else _OTHER] += 1

    def warning(self, outcome: str) -> str | None:
        """Say how many jobs failed, and the most frequent reason; None if none did.

        Args:
            outcome: What became of these peers, to be said behind how many they are.
        """
        if not self._reasons:
            return None
        jobs, peers = self._reasons.total(), len(self._peers)
        said = f"{jobs} job{'s' if jobs > 1 else ''} failed at {peers} peer"
        said += f"{'s' if peers > 1 else ''}, {outcome}"
        ((reason, _),) = self._reasons.most_common(1)
        return f"{said}: {reason}"
