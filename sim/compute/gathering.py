"""Jobs that have started and may be computed together."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, final

Job = TypeVar("Job")
Found = TypeVar("Found")


@final
class Gathering(Generic[Job, Found]):
    """Computes all jobs that have started when the first of them is due.

    Results wait outside of the peers until their own job is due.

    Args:
        compute: Returns what it found of jobs, in the order in which they started; it may leave
            out any of them, which are then asked for again, or done by their benches.
    """

    def __init__(self, compute: Callable[[Sequence[Job]], Sequence[tuple[Job, Found]]]) -> None:
        self._compute = compute
        self._started: dict[Job, None] = {}
        self._found: dict[Job, Found] = {}

    def add(self, job: Job) -> None:
        """Take a job that starts now."""
        self._started[job] = None

    def take(self, job: Job) -> Found | None:
        """Return what was found of a job that is due, and forget it; None if it was left out."""
        if job in self._started:
            for each, found in self._compute(list(self._started)):
                del self._started[each]
                self._found[each] = found
        self._started.pop(job, None)
        return self._found.pop(job, None)

    def drop(self, job: Job) -> None:
        """Forget a job that is canceled, or whose peer crashed."""
        self._started.pop(job, None)
        self._found.pop(job, None)
