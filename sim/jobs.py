"""Jobs in virtual time: when they end, and what the bench makes of them then."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from blake3 import blake3
from msgspec import Struct

from p2pfed.core.effects import StartIntegration, StartTraining, StartValidation
from p2pfed.core.events import (
    Event,
    IntegrationFinished,
    JobFailed,
    OffenceKind,
    PayloadReference,
    TrainingFinished,
    ValidationFinished,
)
from p2pfed.errors import LocalError, RemoteError
from p2pfed.learn.privacy.accountant import BudgetSpent
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX
from sim.benches import Bench, IntegrationOutcome, TrainingOutcome
from sim.clock import Clock, Entry, nanoseconds
from sim.compute.calculator import Calculation, Calculator, WhenDue
from sim.payloads import PayloadShelf

_STOP_S: Final = 0.02  # guess: a job asks whether to stop between two steps


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeModel:
    """How long jobs take on a machine of speed 1.

    Attributes:
        training_s: One training job, in seconds.
        integration_s: One integration job without an evaluation, in seconds.
        evaluation_s: One evaluation, on validation or on test data, in seconds.
        validation_s: One validation job, in seconds.
        jitter_ratio: Each job takes up to this share more or less, from 0 to below 1.
    """

    training_s: float = 1.0
    integration_s: float = 0.1
    evaluation_s: float = 0.1
    validation_s: float = 0.01
    jitter_ratio: float = 0.1


class _Job(Struct, kw_only=True):
    """A job that was started or waits for its turn.

    Attributes:
        job: Its id.
        duration_s: How long it takes, in seconds.
        begin: Called when it begins to run: what it depends on is fixed from then on.
        work: Does it, at its end; from when it runs on.
        end: Its end on the agenda, once it runs.
    """

    job: int
    duration_s: float
    begin: Callable[[], Calculation[Event]]
    work: Calculation[Event] | None = None
    end: Entry | None = None


@final
class _Answered(Struct, frozen=True, eq=False):
    """A calculation, and the event that its outcome makes.

    Attributes:
        inner: The calculation.
        answer: Finishes it.
    """

    inner: Calculation[TrainingOutcome] | Calculation[IntegrationOutcome]
    answer: Callable[[], Event]

    def finish(self) -> Event:
        """Return the event."""
        return self.answer()

    def drop(self) -> None:
        """Forget it."""
        self.inner.drop()

    def expect(self, end_ns: int) -> None:
        """Take note of when it ends, in nanoseconds."""
        self.inner.expect(end_ns)


@final
class Lane:
    """Runs jobs one after the other."""

    def __init__(self, clock: Clock, answer: Callable[[Event], None]) -> None:
        self._clock = clock
        self._answer = answer
        self._running: _Job | None = None
        self._waiting: list[_Job] = []  # a few at most, and an empty deque takes 760 bytes

    def add(self, job: _Job) -> None:
        """Run a job when those before it are done."""
        self._waiting.append(job)
        self._go_on()

    def cancel(self, number: int) -> None:
        """End a job soon; unknown ones are over already."""
        for job in self._waiting:
            if job.job == number:
                job.duration_s = _STOP_S
                job.begin = lambda: _canceled(number)
        running = self._running
        if running is not None and running.job == number:
            assert running.end is not None
            assert running.work is not None
            running.end.cancel()
            running.work.drop()
            running.work = _canceled(number)
            running.end = self._clock.after(_STOP_S, self._finish)

    def clear(self) -> None:
        """Forget all jobs, as a process does that ends."""
        if self._running is not None:
            assert self._running.end is not None
            assert self._running.work is not None
            self._running.end.cancel()
            self._running.work.drop()
        self._running = None
        self._waiting.clear()

    def _go_on(self) -> None:
        if self._running is None and self._waiting:
            job = self._running = self._waiting.pop(0)
            job.work = job.begin()
            end_ns = self._clock.now_ns + nanoseconds(job.duration_s)
            job.work.expect(end_ns)
            job.end = self._clock.at(end_ns, self._finish)

    def _finish(self) -> None:
        job, self._running = self._running, None
        assert job is not None
        assert job.work is not None
        event = job.work.finish()
        self._go_on()
        self._answer(event)


@final
class Workshop:
    """The jobs of one life of a peer: one lane changes the model, one validates beside it.

    Args:
        clock: The world's.
        bench: Does the work.
        model: How long it takes.
        generator: For the jitter.
        calculator: Lets the bench compute, by itself or with others.
        answer: Takes the answers to jobs.
        shelf: Where payloads are; one that a training made is there before its answer.
    """

    def __init__(
        self,
        clock: Clock,
        bench: Bench,
        model: ComputeModel,
        generator: random.Random,
        *,
        calculator: Calculator,
        answer: Callable[[Event], None],
        shelf: PayloadShelf,
    ) -> None:
        self.speed_ratio = 1.0
        self._bench = bench
        self._model = model
        self._random = generator
        self._calculator = calculator
        self._shelf = shelf
        self._main = Lane(clock, answer)
        self._validations = Lane(clock, answer)

    def train(self, effect: StartTraining) -> None:
        """Start a training."""
        seconds = self._model.training_s if effect.train else 0.0

        def begin() -> Calculation[Event]:
            training = self._calculator.training(self._bench, effect)
            return _Answered(training, lambda: self._trained(effect, training))

        self._main.add(self._job(effect.job, seconds, begin))

    def integrate(self, effect: StartIntegration) -> None:
        """Start an integration; like a node's it reads its rows' payloads while it runs."""
        evaluations = int(effect.evaluate or effect.test) + int(effect.test)
        seconds = self._model.integration_s + evaluations * self._model.evaluation_s

        def begin() -> Calculation[Event]:
            integration = self._calculator.integration(self._bench, effect, self._shelf.get)
            return _Answered(integration, lambda: self._integrated(effect, integration))

        self._main.add(self._job(effect.job, seconds, begin))

    def validate(self, effect: StartValidation) -> None:
        """Start a validation, of the payload as it is now; or the making of one."""
        content_hash = effect.header.payload_hash
        payload = self._shelf.get(content_hash) if effect.is_here else None
        work = WhenDue(lambda: self._validated(effect, payload))
        self._validations.add(self._job(effect.job, self._model.validation_s, lambda: work))

    def cancel(self, job: int) -> None:
        """End a job soon."""
        self._main.cancel(job)
        self._validations.cancel(job)

    def clear(self) -> None:
        """Forget all jobs."""
        self._main.clear()
        self._validations.clear()

    def _job(self, number: int, seconds: float, begin: Callable[[], Calculation[Event]]) -> _Job:
        jitter = 1.0 + self._model.jitter_ratio * (2.0 * self._random.random() - 1.0)
        return _Job(job=number, duration_s=seconds * jitter / self.speed_ratio, begin=begin)

    def _trained(self, effect: StartTraining, training: Calculation[TrainingOutcome]) -> Event:
        try:
            outcome = training.finish()
            payload = outcome.payload
        except BudgetSpent as error:
            return JobFailed(job=effect.job, reason=str(error), cancelled=False, budget_spent=True)
        except LocalError as error:
            return JobFailed(job=effect.job, reason=str(error), cancelled=False)
        content_hash = blake3(payload).digest()
        self._shelf.put(content_hash, payload)
        inline = payload if len(payload) <= INLINE_PAYLOAD_BYTES_MAX else None
        return TrainingFinished(
            job=effect.job,
            payload=PayloadReference(
                content_hash=content_hash, size_bytes=len(payload), inline=inline
            ),
            loss=outcome.report.loss,
            examples=outcome.report.examples,
            is_full=outcome.is_full,
        )

    def _integrated(
        self, effect: StartIntegration, integration: Calculation[IntegrationOutcome]
    ) -> Event:
        try:
            outcome = integration.finish()
        except LocalError as error:
            return JobFailed(job=effect.job, reason=str(error), cancelled=False)
        return IntegrationFinished(
            job=effect.job,
            verdicts=outcome.verdicts,
            own_weight=outcome.own_weight,
            evaluation=outcome.evaluation,
            note=outcome.note,
        )

    def _validated(self, effect: StartValidation, payload: bytes | None) -> Event:
        offence = None
        try:
            if payload is not None:
                self._bench.validate(effect.header, payload)
            elif (made := self._bench.remake(effect.header)) is not None:
                self._shelf.put(effect.header.payload_hash, made)
            else:
                reason = "the own ledger is not that far"
                return JobFailed(job=effect.job, reason=reason, cancelled=False)
        except RemoteError as error:
            offence = OffenceKind(error.kind)
        return ValidationFinished(job=effect.job, offence=offence)


def _canceled(number: int) -> Calculation[Event]:
    return WhenDue(lambda: JobFailed(job=number, reason="canceled", cancelled=True))
