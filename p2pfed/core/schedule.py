"""When to train, publish, integrate and stop; asynchronous or in rounds with neighbors."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, final

from p2pfed.core.anti_entropy import AntiEntropy
from p2pfed.core.config import CoreConfig, UpdateFamily
from p2pfed.core.dissemination import Dissemination
from p2pfed.core.effects import Record
from p2pfed.core.events import IntegrationFinished, JobFailed, TrainingFinished, Verdict
from p2pfed.core.journal import Journal
from p2pfed.core.ledger import Ledger
from p2pfed.core.neighbors import Link, Neighbors
from p2pfed.core.notices import (
    Finished,
    JobTrouble,
    NeighborsAwaited,
    RoundFinished,
    StopReason,
)
from p2pfed.core.outbox import Outbox
from p2pfed.core.pacing import Pacing
from p2pfed.core.participation import Participation
from p2pfed.core.plan import Plan
from p2pfed.core.rows import Rows
from p2pfed.core.standing import Standing
from p2pfed.core.timers import TimerKind
from p2pfed.core.transfers import Transfers
from p2pfed.core.work import Work
from p2pfed.messages import Role

# A peer whose logs get news goes on serving, so that all have all; no liar holds it for ever.
_LINGERS_MAX: Final = 10  # guess
_ROUND_TIMERS: Final = (
    TimerKind.DEADLINE,
    TimerKind.START,
    TimerKind.TIME_LIMIT,
    TimerKind.RETRY,
)


class Phase(StrEnum):
    """What the peer is doing."""

    IDLE = "idle"
    WAITING = "waiting"  # for neighbors before the first round
    TRAINING = "training"
    COLLECTING = "collecting"  # the round's update is out; rows are awaited
    INTEGRATING = "integrating"
    STOPPING = "stopping"  # a job was cancelled; its answer is awaited
    TESTING = "testing"  # the last evaluation of a stop that no round foresaw
    PAUSING = "pausing"  # a job failed and is tried again soon
    DONE = "done"  # trained, still serving
    SETTLING = "settling"  # the same, while it sees to logs: takes in others', encodes the own one
    LEFT = "left"


_OVER: Final = (Phase.DONE, Phase.SETTLING, Phase.LEFT)


@final
class Schedule:
    """The rounds of this peer. Waits for ever for nobody.

    Attributes:
        phase: What the peer is doing.
    """

    def __init__(
        self,
        config: CoreConfig,
        plan: Plan,
        journal: Journal,
        dissemination: Dissemination,
        anti_entropy: AntiEntropy,
        transfers: Transfers,
        pacing: Pacing,
        rows: Rows,
        standing: Standing,
        participation: Participation,
        work: Work,
        ledger: Ledger,
        neighbors: Neighbors,
        outbox: Outbox,
    ) -> None:
        self.phase = Phase.IDLE
        self._config = config.schedule
        self._keeps_logs = config.family is UpdateFamily.LEDGER
        self._plan = plan
        self._progress = journal.progress
        self._journal = journal
        self._dissemination = dissemination
        self._anti_entropy = anti_entropy
        self._transfers = transfers
        self._pacing = pacing
        self._rows = rows
        self._standing = standing
        self._participation = participation
        self._work = work
        self._neighbors = neighbors
        self._outbox = outbox
        # Whether an earlier life met anybody: it had something to mix, or somebody to blame.
        self._met_others = ledger.knows_authors or (
            plan.follows_others and journal.progress.round > 0
        )
        self._started_s = 0.0
        self._failures = 0
        self._present = 0  # neighbors, when the application was last told who is missing
        self._loss: float | None = None
        self._stop: StopReason | None = None
        self._linger_end_s = 0.0  # until when news of logs let a peer linger anew
        self._since_s: float | None = None  # when the running stretch of training time began

    @property
    def is_active(self) -> bool:
        """Whether this peer still trains."""
        return self.phase not in _OVER

    # Commands and timers -------------------------------------------------------------------

    def start(self, now_s: float) -> None:
        """Begin, or go on where the last life ended."""
        self._started_s = now_s
        self._since_s = now_s
        self._pacing.begin(now_s)
        reason = None if self._progress.published else self._plan.stop_reason(self._progress)
        if reason is not None:
            self._finish(reason, now_s)
            return
        if self._config.time_s_max is not None:
            left_s = max(self._config.time_s_max - self._progress.elapsed_s, 0.0)
            self._outbox.set_timer(TimerKind.TIME_LIMIT, left_s)
        is_new = self._progress.round == 0 and not self._progress.published
        if self._config.start_neighbors > 0 and (is_new or self._config.start_required):
            self.phase = Phase.WAITING
            self._tell_who_is_missing()
            self._outbox.set_timer(TimerKind.START, self._config.start_deadline_s)
        else:
            self._go_on_with_round(now_s)

    def stop(self, reason: StopReason, now_s: float) -> None:
        """Stop training now; a running job is given up, its round is not counted."""
        is_stopping = self._stop is not None
        if not self.is_active or (is_stopping and reason is not StopReason.COMMAND):
            return
        self._stop = self._stop or reason
        if self.phase is not Phase.STOPPING:
            self._work.cancel()
        if reason is not StopReason.TIME or not self._plan.evaluates:
            self._work.give_up()
            self._finish(self._stop, now_s)
        elif self._work.is_running:
            self.phase = Phase.STOPPING  # one job at a time: its answer comes first
        else:
            self._test()  # a stop that nobody commanded ends with figures

    def leave(self) -> None:
        """Stop everything; the peer says goodbye."""
        self._work.cancel()
        self._work.give_up()
        for kind in (*_ROUND_TIMERS, TimerKind.LINGER):
            self._outbox.cancel_timer(kind)
        self.phase = Phase.LEFT

    def handle_start_deadline(self, now_s: float) -> None:
        """Begin with the neighbors that are there, or give up where all were required."""
        if self.phase is not Phase.WAITING:
            return
        if self._config.start_required:
            self._tell_who_is_missing(is_over=True)
            self._finish(StopReason.NEIGHBORS, now_s, linger_s=0.0)  # there is nothing to serve
        else:
            self._go_on_with_round(now_s)

    def handle_deadline(self, now_s: float) -> None:
        """Go on with the rows that have come."""
        if self.phase is Phase.COLLECTING:
            self._pacing.excuse(self._plan.exchange(self._progress), now_s)
            self._outbox.count("deadline")
            self._integrate()

    def handle_pause_over(self, now_s: float) -> None:
        """Try a failed job again."""
        if self.phase is Phase.PAUSING:
            self._go_on_with_round(now_s)

    def handle_heartbeat(self) -> None:
        """Let a relay mix what has come, even if it is not from everybody."""
        is_due = self._plan.follows_others and self._rows.has_news()
        if self.phase is Phase.COLLECTING and is_due:
            self._integrate()

    # Answers to jobs -----------------------------------------------------------------------

    def handle_trained(self, event: TrainingFinished, now_s: float) -> None:
        """Publish the result of a training."""
        is_expected = self._work.take_answer(event.job)
        if not is_expected or self.phase is Phase.STOPPING:
            self._transfers.release(event.payload.content_hash)
            if is_expected:
                self._test()
            return
        self._failures = 0
        self._progress.model_job = event.job
        if self.phase is Phase.SETTLING:
            assert event.is_full  # else it would be wanted again at once
            self._publish(event, now_s)
            self.phase = Phase.DONE
            return
        assert self.phase is Phase.TRAINING
        if self._progress.gossip_step == 1:
            self._loss = event.loss
        self._progress.published = True
        if self._plan.follows_others and self._dissemination.is_published(event.payload):
            # Relays beside each other would answer each other for ever.
            self._journal.save(model_job=event.job)
        else:
            self._publish(event, now_s)
        self._collect(now_s)

    def handle_integrated(self, event: IntegrationFinished, now_s: float) -> None:
        """Make the result of an integration durable and go on."""
        if not self._work.take_answer(event.job):
            return
        if self.phase is Phase.STOPPING:  # the round is not counted, what was found in it is
            self._give_up_unreadable(event.verdicts, now_s)
            self._test()
            return
        if self.phase is Phase.SETTLING:
            self._settled(event, now_s)
            return
        assert self.phase in (Phase.INTEGRATING, Phase.TESTING)
        self._failures = 0
        self._progress.model_job = event.job
        if self.phase is Phase.INTEGRATING and not self._plan.is_last_step(self._progress):
            self._gossip_again(event, now_s)
            return
        evaluation = event.evaluation
        is_best = evaluation is not None and self._progress.judge(
            evaluation, plateau_delta=self._config.plateau_delta
        )
        round_number = self._progress.round
        is_round = self.phase is Phase.INTEGRATING
        records: tuple[Record, ...] = ()
        verdicts = self._standing.explain(event.verdicts)
        if is_round:
            verdicts = self._commit(verdicts, now_s)
            present = [verdict.peer for verdict in verdicts]
            records = self._standing.observe(verdicts) + self._participation.observe(present)
            self._progress.close_round()
            self._count_time(now_s)
        self._journal.save(model_job=event.job, best_model=is_best, records=records)
        self._outbox.notify(
            RoundFinished(
                round=round_number if is_round else max(round_number - 1, 0),
                loss=self._loss if is_round else None,
                verdicts=verdicts,
                own_weight=event.own_weight,
                evaluation=evaluation,
                note=event.note if is_round else "last evaluation",
            )
        )
        # Counts as tested if it was asked for: there may be no test data.
        self._go_on(now_s, is_tested=not is_round or self._plan.is_tested(round_number))

    def handle_failed(self, event: JobFailed, now_s: float) -> None:
        """Try a failed job again after a pause, a few times."""
        if not self._work.take_answer(event.job):
            return
        if self.phase is Phase.STOPPING:
            self._test()
            return
        self._outbox.notify(JobTrouble(reason=event.reason))
        self._failures += 1
        if self.phase is Phase.SETTLING:
            self.phase = Phase.DONE
            return
        if self._stop is not None:
            self._finish(self._stop, now_s)  # without the last evaluation
        elif event.budget_spent:
            self._stop = StopReason.BUDGET
            if self._plan.evaluates:
                self._test()
            else:
                self._finish(self._stop, now_s)
        elif self._failures >= self._config.job_attempts_max:
            self._finish(StopReason.FAILED, now_s)
        else:
            self.phase = Phase.PAUSING
            self._outbox.set_timer(TimerKind.RETRY, self._config.job_pause_s)

    # After every event ---------------------------------------------------------------------

    def consider(self, now_s: float) -> None:
        """Go on if what was awaited is there."""
        if self.phase is Phase.WAITING:
            present = len(self._neighbors.greeted())
            if present >= self._config.start_neighbors:
                self._outbox.cancel_timer(TimerKind.START)
                self._go_on_with_round(now_s)
            elif present != self._present:
                self._tell_who_is_missing()
        elif self.phase is Phase.COLLECTING and self._is_complete(now_s):
            self._integrate()
        elif self.phase is Phase.DONE and self._keeps_logs:
            self._see_to_logs(now_s)
        if self.phase is not Phase.IDLE and self._plan.ends_with_others and self._is_alone(now_s):
            self.stop(StopReason.ROUNDS, now_s)

    # Inside --------------------------------------------------------------------------------

    def _tell_who_is_missing(self, *, is_over: bool = False) -> None:
        entries = self._neighbors.all()
        self._present = len(self._neighbors.greeted())
        self._outbox.notify(
            NeighborsAwaited(
                wanted=self._config.start_neighbors,
                present=self._present,
                missing=tuple(
                    it.peer for it in entries if it.is_configured and it.link is not Link.GREETED
                ),
                wait_s_max=self._config.start_deadline_s,
                is_over=is_over,
            )
        )

    def _go_on_with_round(self, now_s: float) -> None:
        if self._progress.published:
            self._collect(now_s)
        else:
            self._train()

    def _train(self) -> None:
        self.phase = Phase.TRAINING
        self._work.train(self._progress)

    def _collect(self, now_s: float) -> None:
        self.phase = Phase.COLLECTING
        if self._plan.is_synchronous:
            self._dissemination.advance_to(self._plan.exchange(self._progress))
        if self._is_complete(now_s):
            self._integrate()
            return
        wait_s = self._pacing.wait_s(now_s)
        if wait_s is not None:
            self._outbox.set_timer(TimerKind.DEADLINE, wait_s)

    def _is_complete(self, now_s: float) -> bool:
        return self._pacing.is_complete(self._plan.exchange(self._progress), now_s)

    def _integrate(self) -> None:
        self._outbox.cancel_timer(TimerKind.DEADLINE)
        self.phase = Phase.INTEGRATING
        self._work.integrate(self._progress)

    def _see_to_logs(self, now_s: float) -> None:
        """Take in what came of others' logs, and give others the own one, if there is something.

        Whoever has all logs has the model, however long it has trained itself.
        """
        is_cut_off = self._work.is_log_cut_off
        # A stop may come between an own entry and the integration that takes it in.
        has_news = self._progress.published or self._rows.has_news()
        if self._failures >= self._config.job_attempts_max or not (is_cut_off or has_news):
            return
        if now_s < self._linger_end_s:
            self._outbox.set_timer(TimerKind.LINGER, self._config.linger_s)
        self.phase = Phase.SETTLING
        if is_cut_off:
            self._work.encode(self._progress)
        else:
            self._work.settle(self._progress)

    def _settled(self, event: IntegrationFinished, now_s: float) -> None:
        self._failures = 0
        self._progress.model_job = event.job
        self._commit(event.verdicts, now_s)
        if self._progress.published:
            self._progress.close_round()
        self._journal.save(model_job=event.job)
        self.phase = Phase.DONE

    def _commit(self, verdicts: Sequence[Verdict], now_s: float) -> tuple[Verdict, ...]:
        """Take note of what was integrated; return the verdicts on what could be read."""
        self._give_up_unreadable(verdicts, now_s)  # of the rows that `commit` forgets
        for signed in self._rows.commit(self._plan.exchange(self._progress), verdicts):
            self._anti_entropy.ask_for_missing(signed, now_s)
        return tuple(verdict for verdict in verdicts if verdict.is_of_a_row)

    def _give_up_unreadable(self, verdicts: Sequence[Verdict], now_s: float) -> None:
        for signed, offence in self._rows.unreadable(verdicts):
            self._transfers.give_up(signed, offence, now_s)

    def _publish(self, event: TrainingFinished, now_s: float) -> None:
        self._dissemination.publish(
            event.payload, is_full=event.is_full, model_job=event.job, now_s=now_s
        )

    def _gossip_again(self, event: IntegrationFinished, now_s: float) -> None:
        """Publish the mixture itself, in the next gossip step of this round."""
        self._commit(event.verdicts, now_s)
        self._progress.close_gossip_step()
        self._count_time(now_s)
        self._journal.save(model_job=event.job)
        self._train()

    def _test(self) -> None:
        self.phase = Phase.TESTING
        self._work.test(self._progress.round)

    def _go_on(self, now_s: float, *, is_tested: bool) -> None:
        self._stop = self._stop or self._plan.stop_reason(self._progress)
        if self._stop is None:
            self._train()
        elif is_tested or not self._plan.evaluates:
            self._finish(self._stop, now_s)
        else:
            self._test()

    def _finish(self, reason: StopReason, now_s: float, *, linger_s: float | None = None) -> None:
        for kind in _ROUND_TIMERS:
            self._outbox.cancel_timer(kind)
        self._count_time(now_s)
        self._journal.save()
        self._outbox.notify(Finished(reason=reason, rounds=self._progress.round))
        self._failures = 0
        self.phase = Phase.DONE
        linger_s = self._config.linger_s if linger_s is None else linger_s
        self._linger_end_s = now_s + (_LINGERS_MAX - 1) * linger_s
        self._outbox.set_timer(TimerKind.LINGER, linger_s)

    def _count_time(self, now_s: float) -> None:
        if self._since_s is not None:
            self._progress.elapsed_s += now_s - self._since_s
            self._since_s = now_s

    def _is_alone(self, now_s: float) -> bool:
        """Return whether all neighbors met, trainers if there were any, have stopped training."""
        met = [entry for entry in self._neighbors.all() if entry.was_greeted]
        trainers = [entry for entry in met if entry.role is Role.TRAIN]
        watched = trainers or met
        if not watched:
            # A restart makes nobody wait longer for those who left, or were banned, before it.
            return self._met_others and now_s - self._started_s >= self._config.linger_s
        # Whoever is away for so long does not come back.
        is_training = [
            entry.is_active and (entry.is_up or now_s - entry.heard_s < self._config.linger_s)
            for entry in watched
        ]
        return not any(is_training)
