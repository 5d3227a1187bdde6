"""What a peer tells its application: progress, trouble, and the end."""

from enum import StrEnum

from p2pfed.core.events import Evaluation, OffenceKind, Verdict
from p2pfed.identity import PeerId
from p2pfed.values import Value


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


class NeighborJoined(Value):
    """A neighbor of the same run is connected and has said hello."""

    peer: PeerId


class NeighborLost(Value):
    """A neighbor is gone; it will be dialed again if it can be."""

    peer: PeerId
    reason: str


class NeighborUnreachable(Value):
    """A configured neighbor could not be dialed so many times in a row; it is tried again."""

    peer: PeerId
    attempts: int
    reason: str


class NeighborsAwaited(Value):
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


class PeerRefused(Value):
    """A stranger was turned away, and why: the text names the first differing genesis field."""

    peer: PeerId
    reason: str


class RoundFinished(Value):
    """A round is trained, published and integrated.

    Attributes:
        round: Its number, from 0.
        loss: Mean training loss of its local steps, None for a relay.
        verdicts: Of its integration, on all rows that could be read; empty when none had arrived.
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


class UpdatePublished(Value):
    """An own update left for the neighbors."""

    round: int
    sequence: int
    payload_bytes: int


class UpdateRejected(Value):
    """A neighbor's update was not taken."""

    peer: PeerId
    reason: str


class PeerOffended(Value):
    """A peer broke the protocol; `banned_s` is positive when it is banned for that long."""

    peer: PeerId
    kind: OffenceKind
    detail: str
    banned_s: float


class IncarnationStarted(Value):
    """This peer goes on under a new incarnation because a neighbor knows newer updates of it."""

    incarnation: int


class LogsLeftOut(Value):
    """At a limit, logs are left out: models of peers of a ledger may differ from now on.

    Attributes:
        reason: Which limit, and what to do.
    """

    reason: str


class ReputationLost(Value):
    """Saved reputation of neighbors could not be read; they are strangers again, bans included."""

    reason: str


class PartIdle(Value):
    """A part that the run file switches on has nothing to do for now, and why.

    Attributes:
        part: Its table in the run file.
        reason: What it does not do, and how many neighbors are missing for it.
    """

    part: str
    reason: str


class PartActive(Value):
    """A part that was told to be idle does its work from now on."""

    part: str


class JobTrouble(Value):
    """A job failed on this machine; it is tried again after a pause, at most a few times."""

    reason: str


class Finished(Value):
    """Training has ended; the peer goes on serving for the linger time."""

    reason: StopReason
    rounds: int


class Left(Value):
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
