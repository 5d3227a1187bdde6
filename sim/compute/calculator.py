"""What computes jobs: the interface, and the plain way to do it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, final

from msgspec import Struct
from typing_extensions import override

from p2pfed.core.effects import StartIntegration, StartTraining
from sim.benches import Bench, IntegrationOutcome, LoadPayload, TrainingOutcome

Outcome = TypeVar("Outcome")
Outcome_co = TypeVar("Outcome_co", covariant=True)


class Calculation(Protocol[Outcome_co]):
    """A job that has started: what it depends on does not change until it ends."""

    def finish(self) -> Outcome_co:
        """Do the job, or what is left of it; its peer is as a real one then is.

        Raises:
            LocalError: If that failed; nothing is changed.
        """

    def drop(self) -> None:
        """Forget the job; nothing is changed."""

    def expect(self, end_ns: int) -> None:
        """Take note of when it ends, in nanoseconds."""


class Calculator(ABC):
    """Computes what benches are asked for. All peers of a world have one."""

    @abstractmethod
    def training(self, bench: Bench, effect: StartTraining) -> Calculation[TrainingOutcome]:
        """Start a training, whose outcome is that of `Bench.train`."""

    @abstractmethod
    def integration(
        self, bench: Bench, effect: StartIntegration, load_payload: LoadPayload
    ) -> Calculation[IntegrationOutcome]:
        """Start an integration, whose outcome is that of `Bench.integrate`."""

    def first_ends_ns(self) -> tuple[int | None, ...]:
        """Return when the first job of each kind ends of those that are computed together.

        What is computed already does not count; None where there is no other. In nanoseconds.
        """
        return ()

    def compute(self, kind: int) -> None:  # noqa: B027 - nothing is computed together
        """Compute what has started of one of these kinds, though nothing of it is due."""


@final
class WhenDue(Struct, Generic[Outcome], frozen=True, eq=False):
    """A job that is done when it is due.

    Attributes:
        work: Does it.
    """

    work: Callable[[], Outcome]

    def finish(self) -> Outcome:
        """Do it."""
        return self.work()

    def drop(self) -> None:
        """Forget it."""

    def expect(self, end_ns: int) -> None:
        """Take note of nothing: it is done when it ends."""


@final
class Sequential(Calculator):
    """Lets each bench do its jobs by itself when they are due: to the bits of real nodes."""

    @override
    def training(self, bench: Bench, effect: StartTraining) -> Calculation[TrainingOutcome]:
        return WhenDue(lambda: bench.train(effect))

    @override
    def integration(
        self, bench: Bench, effect: StartIntegration, load_payload: LoadPayload
    ) -> Calculation[IntegrationOutcome]:
        return WhenDue(lambda: bench.integrate(effect, load_payload))
