"""One core on a bench: events go in, and its effects come out in a form that reads well."""

from collections.abc import Collection
from dataclasses import dataclass

from p2pfed.core.config import ScheduleConfig
from p2pfed.core.effects import (
    CancelTimer,
    Effect,
    IntegrationRow,
    Notify,
    Save,
    SendFrame,
    SetTimer,
    StartIntegration,
    StartTraining,
    StartValidation,
)
from p2pfed.core.events import (
    NOT_READ,
    Command,
    CommandGiven,
    Evaluation,
    Event,
    FrameReceived,
    IntegrationFinished,
    JobFailed,
    OffenceKind,
    PayloadArrived,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    TrainingFinished,
    ValidationFinished,
    Verdict,
)
from p2pfed.core.notices import Notice
from p2pfed.core.peer import PeerCore
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.identity import Identity, PeerId
from p2pfed.messages import (
    Announce,
    Deliver,
    Heartbeat,
    Hello,
    Message,
    Role,
    Sighting,
    SignedHeader,
)
from p2pfed.wire import frames
from p2pfed.wire.hashes import content_hash
from tests.core.peers import START_S, make_config, make_core, make_hello, make_payload


@dataclass(frozen=True)
class Sent:
    """A `SendFrame`, decoded."""

    peer: PeerId
    message: Message


@dataclass(frozen=True)
class Saved:
    """A `Save`, without the bytes of its records."""

    keys: tuple[str, ...]
    model_job: int | None = None
    best: bool = False


@dataclass(frozen=True)
class Set:
    """A `SetTimer`; redials are jittered, so their delay is left out."""

    kind: TimerKind
    delay_s: float | None = None


@dataclass(frozen=True)
class Cancelled:
    """A `CancelTimer`."""

    kind: TimerKind


@dataclass(frozen=True)
class Told:
    """A `Notify`."""

    notice: Notice


PROGRESS = ("self/progress",)


def plain(effect: Effect) -> object:
    """Return an effect without what tests need not spell out."""
    match effect:
        case SendFrame():
            return Sent(effect.peer, frames.decode(effect.frame))
        case Save():
            keys = tuple(record.key for record in effect.records)
            return Saved(keys, effect.model_job, effect.best_model)
        case SetTimer():
            kind = effect.timer.kind
            return Set(kind, None if kind is TimerKind.REDIAL else effect.delay_s)
        case CancelTimer():
            return Cancelled(effect.timer.kind)
        case Notify():
            return Told(effect.notice)
        case _:
            return effect


class Solo:
    """Drives a core and plays its neighbors, its disk and its jobs.

    Attributes:
        core: The core.
        now_s: The time.
        timers: Timers that run.
        jobs: Started jobs, the last one last.
        validations: Ids of validations that run.
        disk: Saved records by key.
        effects: All effects so far, as they came.
    """

    def __init__(self, core: PeerCore | None = None) -> None:
        self.core = core or make_core()
        self.now_s = START_S
        self.timers: list[Timer] = []
        self.jobs: list[StartTraining | StartIntegration | StartValidation] = []
        self.validations: list[int] = []
        self.disk: dict[str, bytes] = {}
        self.effects: list[Effect] = []

    def do(self, event: Event) -> list[object]:
        """Hand an event in; return the effects in plain form."""
        effects = self.core.handle(event, now_s=self.now_s)
        self.effects += effects
        for effect in effects:
            self._note(effect)
        return [plain(effect) for effect in effects]

    def _note(self, effect: Effect) -> None:
        match effect:
            case SetTimer():
                self.timers.append(effect.timer)
            case CancelTimer():
                self.timers.remove(effect.timer)
            case StartTraining() | StartIntegration() | StartValidation():
                self.jobs.append(effect)
                if isinstance(effect, StartValidation):
                    self.validations.append(effect.job)
            case Save():
                for record in effect.records:
                    if record.value is None:
                        self.disk.pop(record.key, None)
                    else:
                        self.disk[record.key] = record.value
            case _:
                pass

    # Neighbors -----------------------------------------------------------------------------

    def connect(self, who: Identity, remote_address: str = "") -> list[object]:
        return self.do(PeerConnected(peer=who.peer, remote_address=remote_address))

    def disconnect(self, who: Identity) -> list[object]:
        return self.do(PeerDisconnected(peer=who.peer))

    def receive(self, who: Identity, message: Message) -> list[object]:
        return self.do(FrameReceived(peer=who.peer, frame=frames.encode(message)))

    def greet(self, who: Identity, hello: Hello | None = None) -> list[object]:
        """Connect a neighbor and exchange Hellos; return what the core did after its Hello."""
        self.connect(who)
        return self.receive(who, hello or make_hello())

    def deliver(self, who: Identity, signed: SignedHeader, payload: bytes = b"row") -> list[object]:
        return self.receive(who, Deliver(update=signed, payload=payload))

    # Timers and commands -------------------------------------------------------------------

    def start(self) -> list[object]:
        return self.do(CommandGiven(command=Command.START))

    def timer(self, kind: TimerKind) -> Timer:
        (timer,) = [timer for timer in self.timers if timer.kind is kind]
        return timer

    def fire(self, kind: TimerKind, *, after_s: float = 0.0) -> list[object]:
        """Let the one timer of a kind run out."""
        timer = self.timer(kind)
        self.timers.remove(timer)
        self.now_s += after_s
        return self.do(TimerFired(timer=timer))

    # Jobs ----------------------------------------------------------------------------------

    def train(self, payload: bytes = b"own", *, inline: bool = True) -> list[object]:
        """Finish the training that was started last."""
        job = self.last(StartTraining).job
        reference = make_payload(payload, inline=inline)
        return self.do(TrainingFinished(job=job, payload=reference, loss=0.5, examples=10))

    def integrate(
        self,
        *,
        score: float | None = None,
        test_score: float | None = None,
        agreement: float | None = None,
        unreadable: Collection[PeerId] = (),
        not_read: Collection[PeerId] = (),
    ) -> list[object]:
        """Finish the integration that was started last; all readable rows get the same verdict."""
        started = self.last(StartIntegration)
        weight = 1.0 / (len(started.rows) + 1)
        verdicts = tuple(
            Verdict(peer=row.peer, weight=0.0, reason="codec", offence=OffenceKind.CODEC)
            if row.peer in unreadable
            else Verdict(peer=row.peer, weight=0.0, reason=NOT_READ)
            if row.peer in not_read
            else Verdict(
                peer=row.peer,
                weight=weight,
                reason="",
                agreement=agreement,
                norm_ratio=None if agreement is None else 1.0,
                gain=0.1 if row.is_probed else None,
            )
            for row in started.rows
        )
        evaluation = None
        if score is not None:
            evaluation = Evaluation(score=score, loss=1.0, test_score=test_score)
        return self.do(
            IntegrationFinished(
                job=started.job, verdicts=verdicts, own_weight=weight, evaluation=evaluation
            )
        )

    def validate(self, offence: OffenceKind | None = None) -> list[object]:
        """Finish the validation that was started last."""
        return self.do(ValidationFinished(job=self.validations.pop(), offence=offence))

    def validate_all(self) -> None:
        """Finish all validations, those started meanwhile, too."""
        while self.validations:
            self.validate()

    def fail(self, *, cancelled: bool = False, budget_spent: bool = False) -> list[object]:
        """Let the job that was started last fail."""
        reason = "the budget is spent" if budget_spent else "out of memory"
        return self.do(
            JobFailed(
                job=self.jobs[-1].job,
                reason=reason,
                cancelled=cancelled,
                budget_spent=budget_spent,
            )
        )

    def last(self, kind):
        return [job for job in self.jobs if isinstance(job, kind)][-1]

    def arrive(self, content_hash: bytes) -> list[object]:
        return self.do(PayloadArrived(content_hash=content_hash))

    def take(self, who: Identity, signed: SignedHeader, payload: bytes = b"row") -> list[object]:
        """Deliver an update and validate it, unless the integration does."""
        before = len(self.validations)
        effects = self.deliver(who, signed, payload)
        return effects + (self.validate() if len(self.validations) > before else [])

    def fetch(self, who: Identity, signed: SignedHeader, payload: bytes = b"row") -> list[object]:
        """Announce an update that was not pushed, and let its payload arrive."""
        return self.receive(who, Announce(update=signed)) + self.arrive(content_hash(payload))

    def counted(self, what: str) -> int:
        return self.core.status().counters.get(what, 0)


def of_kind(effects: list[object], *kinds: type) -> list[object]:
    """Return the effects of some kinds."""
    return [effect for effect in effects if isinstance(effect, kinds)]


def messages_to(effects: list[object], who: Identity) -> list[Message]:
    """Return what was sent to a peer."""
    return [
        effect.message for effect in effects if isinstance(effect, Sent) and effect.peer == who.peer
    ]


def beat(*sightings: Sighting) -> Heartbeat:
    """Return a heartbeat of a peer that still trains."""
    ordered = sorted(sightings, key=lambda seen: (seen.author, seen.incarnation))
    return Heartbeat(active=True, sightings=tuple(ordered))


def solo(schedule: ScheduleConfig, *neighbors, role: Role = Role.TRAIN) -> Solo:
    return Solo(make_core(make_config(neighbors=neighbors, schedule=schedule, role=role)))


def row(author, signed, staleness: int = 0) -> IntegrationRow:
    return IntegrationRow(peer=author.peer, header=signed.header, staleness=staleness)


def finish_round(peer: Solo, payload: bytes) -> list[object]:
    peer.train(payload)
    return peer.integrate()
