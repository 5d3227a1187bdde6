"""Runs a peer's jobs in worker threads: training and integration in turn, validation beside."""

import logging
import math
import threading
from collections.abc import Callable
from typing import Protocol, final

import trio
from blake3 import blake3

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
from p2pfed.errors import RemoteError
from p2pfed.learn.jobs import IntegrationOutcome, TrainingOutcome
from p2pfed.learn.learner import JobCancelled
from p2pfed.learn.privacy.accountant import BudgetSpent
from p2pfed.learn.privacy.guard import PrivacySpent
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX
from p2pfed.messages import UpdateHeader
from p2pfed.node.payload_store import PayloadStore

_log = logging.getLogger(__name__)

Work = StartTraining | StartIntegration


class Bench(Protocol):
    """What a node needs of whoever learns; `p2pfed.learn.workbench.Workbench` is the usual one.

    `train` and `integrate` are never called at the same time; `validate` may be beside them.
    """

    @property
    def privacy_spent(self) -> PrivacySpent | None:
        """What was told about training rows so far; None where nobody counts."""

    def train(self, effect: StartTraining, should_stop: Callable[[], bool]) -> TrainingOutcome:
        """Take a round's local steps and encode their result."""

    def validate(self, header: UpdateHeader, payload: bytes) -> None:
        """Decode a neighbor's payload; raise RemoteError if that cannot be done."""

    def remake(self, header: UpdateHeader) -> bytes | None:
        """Make a snapshot of the own ledger, None if that has not come as far.

        Raises:
            RemoteError: If the ledger has another one.
        """

    def integrate(
        self,
        effect: StartIntegration,
        load_payload: Callable[[bytes], bytes],
        should_stop: Callable[[], bool],
    ) -> IntegrationOutcome:
        """Integrate rows into the own model and evaluate it."""

    def save(self) -> bytes:
        """Return everything that `load` needs to go on from here."""

    def load(self, data: bytes) -> None:
        """Go on from what `save` returned."""


@final
class JobRunner:
    """Two lanes of worker threads, and the stop flags of what runs in them.

    Args:
        bench: Does the work.
        payloads: Where payloads are read from and own ones put.
        deliver: Takes the answers.
    """

    def __init__(
        self, bench: Bench, payloads: PayloadStore, deliver: Callable[[Event], None]
    ) -> None:
        self._bench = bench
        self._payloads = payloads
        self._deliver = deliver
        self._stops: dict[int, threading.Event] = {}
        # Unbounded, but the core has at most one job and 64 validations under way.
        self._work_in, self._work_out = trio.open_memory_channel[Work](math.inf)
        self._checks_in, self._checks_out = trio.open_memory_channel[StartValidation](math.inf)

    async def run(self) -> None:
        """Serve both lanes until cancelled; a running thread is abandoned then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_work)
            nursery.start_soon(self._run_checks)

    def start(self, effect: Work | StartValidation) -> None:
        """Queue a job."""
        if isinstance(effect, StartValidation):
            self._checks_in.send_nowait(effect)
        else:
            self._stops[effect.job] = threading.Event()
            self._work_in.send_nowait(effect)

    def cancel(self, job: int) -> None:
        """Ask a job to stop soon."""
        if job in self._stops:
            self._stops[job].set()

    def cancel_all(self) -> None:
        """Ask every job to stop soon."""
        for stop in self._stops.values():
            stop.set()

    async def _run_work(self) -> None:
        async for effect in self._work_out:
            event = await trio.to_thread.run_sync(self._work, effect, abandon_on_cancel=True)
            del self._stops[effect.job]
            self._deliver(event)

    async def _run_checks(self) -> None:
        async for effect in self._checks_out:
            self._deliver(
                await trio.to_thread.run_sync(self._validate, effect, abandon_on_cancel=True)
            )

    def _work(self, effect: Work) -> Event:
        return self._train(effect) if isinstance(effect, StartTraining) else self._integrate(effect)

    def _train(self, effect: StartTraining) -> Event:
        stop = self._stops[effect.job]
        try:
            outcome = self._bench.train(effect, stop.is_set)
            payload = outcome.payload
            content_hash = blake3(payload).digest()
            # The newest own update must be servable after a restart.
            self._payloads.put(content_hash, payload, durable=True)
        except JobCancelled:
            return JobFailed(job=effect.job, reason="cancelled", cancelled=True)
        except BudgetSpent as error:
            return JobFailed(job=effect.job, reason=str(error), cancelled=False, budget_spent=True)
        except Exception as error:  # the edge to the application's training code
            return _failed(effect.job, "training", error)
        inline = len(payload) <= INLINE_PAYLOAD_BYTES_MAX
        return TrainingFinished(
            job=effect.job,
            payload=PayloadReference(
                content_hash=content_hash,
                size_bytes=len(payload),
                inline=payload if inline else None,
            ),
            loss=outcome.report.loss,
            examples=outcome.report.examples,
            is_full=outcome.is_full,
        )

    def _integrate(self, effect: StartIntegration) -> Event:
        stop = self._stops[effect.job]
        try:
            outcome = self._bench.integrate(effect, self._payloads.get, stop.is_set)
        except JobCancelled:
            return JobFailed(job=effect.job, reason="cancelled", cancelled=True)
        except Exception as error:  # the edge to the application's evaluation code
            return _failed(effect.job, "integration", error)
        return IntegrationFinished(
            job=effect.job,
            verdicts=outcome.verdicts,
            own_weight=outcome.own_weight,
            evaluation=outcome.evaluation,
            note=outcome.note,
        )

    def _validate(self, effect: StartValidation) -> Event:
        try:
            if effect.is_here:
                payload = self._payloads.get(effect.header.payload_hash)
                self._bench.validate(effect.header, payload)
            elif (made := self._bench.remake(effect.header)) is not None:
                self._payloads.put(effect.header.payload_hash, made)
            else:
                reason = "the own ledger is not that far"
                return JobFailed(job=effect.job, reason=reason, cancelled=False)
        except RemoteError as error:
            _log.info("update of %s: %s", effect.header.author.hex()[:8], error)
            return ValidationFinished(job=effect.job, offence=OffenceKind(error.kind))
        except Exception as error:  # the edge to decoders of third parties
            return _failed(effect.job, "validation", error)
        return ValidationFinished(job=effect.job, offence=None)


def _failed(job: int, what: str, error: Exception) -> JobFailed:
    _log.exception("%s failed", what)
    return JobFailed(job=job, reason=f"{what}: {type(error).__name__}: {error}", cancelled=False)
