"""What a peer tells its application: progress, trouble, and the end."""

from dataclasses import dataclass
from enum import StrEnum

from p2pfed.core.events import Evaluation, OffenceKind, Verdict
from p2pfed.identity import PeerId


class StopReason(StrEnum):
    """Why a peer stopped training."""

    ROUNDS = "rounds"
    TIME = "time"
    PLATEAU = "plateau"
    BUDGET = "budget"  # for privacy: one more round would tell too much
    COMMAND = "command"
    FAILED = "failed"
    NEIGHBORS = "neighbors"  # those that it had to wait for did not come

    @property
    def is_failure(self) -> bool:
        """Whether the peer gave up; started again, it tries again."""
        return self in (StopReason.FAILED, StopReason.NEIGHBORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborJoined:
    """A neighbor of the same run is connected and has said hello."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborLost:
    """A neighbor is gone; it will be dialed again if it can be."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborUnreachable:
    """A configured neighbor could not be dialed so many times in a row; it is tried again."""

    peer: PeerId
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborsAwaited:
    """A peer waits for neighbors before it trains; told anew whenever one comes or goes.

    Attributes:
        wanted: For how many.
        present: How many are there.
        missing: Configured neighbors that are not.
        wait_s_max: How long it waits in all, in seconds.
        is_over: Whether it has given up waiting, and training with it.
    """

    wanted: int
    present: int
    missing: tuple[PeerId, ...]
    wait_s_max: float
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRefused:
    """A stranger was turned away, and why: the text names the first differing genesis field."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFinished:
    """A round is trained, published and integrated.

    Attributes:
        round: Its number, from 0.
        loss: Mean training loss of its local steps, None for a relay.
        verdicts: Of its integration; empty when nothing had arrived.
        own_weight: Coefficient of the own row; 1.0 when nothing was integrated.
        evaluation: When this round was evaluated.
        note: Why the own model was kept, or empty.
    """

    round: int
    loss: float | None
    verdicts: tuple[Verdict, ...]
    own_weight: float
    evaluation: Evaluation | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePublished:
    """An own update left for the neighbors."""

    round: int
    sequence: int
    payload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRejected:
    """A neighbor's update was not taken."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOffended:
    """A peer broke the protocol; `banned_s` is positive when it is banned for that long."""

    peer: PeerId
    kind: OffenceKind
    detail: str
    banned_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IncarnationStarted:
    """This peer goes on under a new incarnation because a neighbor knows newer updates of it."""

    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsLeftOut:
    """At a limit, logs are left out: models of peers of a ledger may differ from now on.

    Attributes:
        reason: Which limit, and what to do.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationLost:
    """Saved reputation of neighbors could not be read; they are strangers again, bans included."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartIdle:
    """A part that the run file switches on has nothing to do for now, and why.

    Attributes:
        part: Its table in the run file.
        reason: What it does not do, and how many neighbors are missing for it.
    """

    part: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartActive:
    """A part that was told to be idle does its work from now on."""

    part: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTrouble:
    """A job failed on this machine; it is tried again after a pause, at most a few times."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Training has ended; the peer goes on serving for the linger time."""

    reason: StopReason
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The peer has said goodbye; the driver may close."""


Notice = (
    NeighborJoined
    | NeighborLost
    | NeighborUnreachable
    | NeighborsAwaited
    | PeerRefused
    | RoundFinished
    | UpdatePublished
    | UpdateRejected
    | PeerOffended
    | IncarnationStarted
    | LogsLeftOut
    | ReputationLost
    | PartIdle
    | PartActive
    | JobTrouble
    | Finished
    | Left
)
