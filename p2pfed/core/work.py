"""The one training or integration job that a peer may have under way."""

from typing import final

from msgspec.structs import replace

from p2pfed.core.effects import CancelJob, StartIntegration, StartTraining
from p2pfed.core.idleness import Idleness
from p2pfed.core.jobs import Jobs
from p2pfed.core.neighbors import Neighbors
from p2pfed.core.outbox import Outbox
from p2pfed.core.own import OwnUpdates
from p2pfed.core.participation import Participation
from p2pfed.core.plan import Plan
from p2pfed.core.progress import Progress
from p2pfed.core.rows import Rows
from p2pfed.core.standing import Standing
from p2pfed.core.transfers import Transfers


@final
class Work:
    """Starts jobs, and recognizes the answer to the one that is under way."""

    def __init__(
        self,
        plan: Plan,
        own: OwnUpdates,
        rows: Rows,
        standing: Standing,
        participation: Participation,
        idleness: Idleness,
        transfers: Transfers,
        neighbors: Neighbors,
        jobs: Jobs,
        outbox: Outbox,
    ) -> None:
        self._plan = plan
        self._own = own
        self._rows = rows
        self._standing = standing
        self._participation = participation
        self._idleness = idleness
        self._transfers = transfers
        self._neighbors = neighbors
        self._jobs = jobs
        self._outbox = outbox
        self._job: int | None = None

    @property
    def is_running(self) -> bool:
        """Whether the answer to a job is awaited."""
        return self._job is not None

    @property
    def is_log_cut_off(self) -> bool:
        """Whether others cannot get all of the own log before its next entry; see `OwnUpdates`."""
        return self._own.is_cut_off

    def train(self, progress: Progress) -> None:
        """Take local steps; a relay only encodes its model, as all do in later gossip steps."""
        self.encode(progress, train=not self._plan.is_relay and progress.gossip_step == 1)

    def encode(self, progress: Progress, *, train: bool = False) -> None:
        """Encode the model, or what the own log says, after local steps or without any."""
        self._outbox.add(
            StartTraining(
                job=self._begin(),
                round=progress.round,
                train=train,
                degree=self._neighbors.degree(),
                own=self._own.place,
            )
        )

    def integrate(self, progress: Progress) -> None:
        """Integrate the rows of an exchange; their payloads are kept until the job is answered."""
        is_last = self._plan.is_last_step(progress)
        evaluate = is_last and self._plan.is_evaluated(progress.round)
        self._start(
            progress, evaluate=evaluate, test=is_last and self._plan.is_tested(progress.round)
        )

    def settle(self, progress: Progress) -> None:
        """Integrate what came after the last round."""
        self._start(progress, evaluate=False, test=False)

    def test(self, round_number: int) -> None:
        """Evaluate the model as it is, on validation and test data."""
        self._outbox.add(
            StartIntegration(
                job=self._begin(),
                round=round_number,
                rows=(),
                degree=self._neighbors.degree(),
                evaluate=True,
                test=True,
                own=self._own.place,
            )
        )

    def cancel(self) -> None:
        """Ask the running job to stop soon; it still answers."""
        if self._job is not None:
            self._outbox.add(CancelJob(job=self._job))

    def give_up(self) -> None:
        """Expect no answer any more."""
        self._job = None
        self._transfers.end_use()

    def take_answer(self, job: int) -> bool:
        """Return whether this answers the job that is under way, which is over then."""
        if self._job != job:
            self._outbox.count("stale.job")
            return False
        self.give_up()
        return True

    def _start(self, progress: Progress, *, evaluate: bool, test: bool) -> None:
        rows = self._rows.choose(self._plan.exchange(progress))
        self._idleness.look(rows)
        places = self._standing.places(rows)
        importances = self._participation.importances([row.peer for row in rows])
        rows = tuple(
            replace(row, importance=importance, mass_max=place.mass_max, is_probed=place.is_probed)
            for row, place, importance in zip(rows, places, importances, strict=True)
        )
        self._transfers.begin_use(
            header.payload_hash for row in rows for header in (*row.before, row.header)
        )
        self._outbox.add(
            StartIntegration(
                job=self._begin(),
                round=progress.round,
                rows=rows,
                degree=self._neighbors.degree(),
                evaluate=evaluate,
                test=test,
                own=self._own.place,
                frozen=self._rows.frozen(),
                last_lives=self._rows.last_lives(),
            )
        )

    def _begin(self) -> int:
        assert self._job is None  # one at a time
        self._job = self._jobs.next()
        return self._job
