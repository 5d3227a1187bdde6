"""Jobs that have started and may be computed together."""

import math
from collections.abc import Callable, Hashable, Sequence
from heapq import nsmallest
from typing import Final, Generic, Protocol, TypeVar, final

# More are hardly quicker together, and what is found of each waits until its job is due: of 10,000
# small perceptrons all at once took a tenth more memory (docs/design.md).
_TOGETHER_MAX: Final = 1_024


class Alike(Protocol):
    """A job that can be computed with others."""

    @property
    def shape(self) -> Hashable:
        """What is equal where jobs can be computed at once; never changes."""


Job = TypeVar("Job", bound=Alike)
Found = TypeVar("Found")


@final
class Gathering(Generic[Job, Found]):
    """Computes jobs of a shape that have started when the first of them is due.

    Results wait outside of the peers until their own job is due.

    Args:
        compute: Returns what it found of jobs of one shape; it may leave out any of them, which are
            then asked for again, or done by their benches.
        together_max: How many jobs it is given at once; those that end first.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Job]], Sequence[tuple[Job, Found]]],
        together_max: int = _TOGETHER_MAX,
    ) -> None:
        self._compute = compute
        self._together_max = together_max
        self._started: dict[Hashable, dict[Job, None]] = {}
        self._found: dict[Job, Found] = {}
        # When those end that have not been tried yet, in nanoseconds.
        self._ends_ns: dict[Job, int] = {}

    def add(self, job: Job) -> None:
        """Take a job that starts now."""
        self._started.setdefault(job.shape, {})[job] = None

    def expect(self, job: Job, end_ns: int) -> None:
        """Take note of when a job ends, in nanoseconds."""
        self._ends_ns[job] = end_ns

    def first_end_ns(self) -> int | None:
        """Return when the first job ends that has yet to be computed, in nanoseconds."""
        return min(self._ends_ns.values(), default=None)

    def compute(self) -> None:
        """Compute what has started, before any of it is due."""
        for shape in dict.fromkeys(job.shape for job in self._ends_ns):
            self._compute_alike(shape)

    def take(self, job: Job) -> Found | None:
        """Return what was found of a job that is due, and forget it; None if it was left out."""
        if self._is_waiting(job):
            self._compute_alike(job.shape, due=job)
        if job in self._found:
            return self._found.pop(job)
        self.drop(job)
        return None

    def drop(self, job: Job) -> None:
        """Forget a job that is canceled, or whose peer crashed."""
        self._found.pop(job, None)
        self._ends_ns.pop(job, None)
        alike = self._started.get(job.shape, {})
        alike.pop(job, None)
        if not alike:
            self._started.pop(job.shape, None)

    def _is_waiting(self, job: Job) -> bool:
        return job not in self._found and job in self._started.get(job.shape, {})

    def _compute_alike(self, shape: Hashable, due: Job | None = None) -> None:
        alike = list(self._started[shape])
        if len(alike) > self._together_max:
            alike = nsmallest(
                self._together_max,
                alike,
                key=lambda job: -1 if job is due else self._ends_ns.get(job, math.inf),
            )
        for job, found in self._compute(alike):
            self.drop(job)
            self._found[job] = found
        for job in alike:  # what is left out is done when it is due
            self._ends_ns.pop(job, None)
