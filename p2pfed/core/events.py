"""Everything that can happen to a peer: the input of `PeerCore.handle`."""

from enum import StrEnum
from typing import Final

from p2pfed.core.timers import Timer
from p2pfed.identity import PeerId
from p2pfed.values import Value

# The reason of a verdict on a row whose largest share was 0.
NO_MASS: Final = "no-mass"
# That of a row whose update builds on one that was never integrated here.
GAP: Final = "gap"
# That of a row at which the decoder of this machine broke down.
NOT_READ: Final = "not-read"


class OffenceKind(StrEnum):
    """What a peer did wrong; counted in the ledger and shown in status."""

    FRAME = "frame"
    SCHEMA = "schema"
    SIGNATURE = "signature"
    LIMIT = "limit"
    MISMATCH = "mismatch"
    CODEC = "codec"
    PAYLOAD_HASH = "payload-hash"
    PAYLOAD_SIZE = "payload-size"
    EQUIVOCATION = "equivocation"


class Command(StrEnum):
    """What the application or operator asks of the peer."""

    START = "start"
    STOP = "stop"  # stop training, keep serving for linger_s
    LEAVE = "leave"  # say goodbye now


class PayloadReference(Value):
    """A payload that the driver holds.

    Attributes:
        content_hash: BLAKE3-256, 32 bytes.
        size_bytes: Its size.
        inline: The bytes themselves when they fit into a frame, else None.
    """

    content_hash: bytes
    size_bytes: int
    inline: bytes | None


class Evaluation(Value):
    """Quality of the own model on validation data (decides) and on test data (reported only).

    Attributes:
        score: Task metric on validation data, larger is better.
        loss: Mean loss on validation data.
        test_score: Task metric on test data, or None when it was not measured.
    """

    score: float
    loss: float
    test_score: float | None = None


class Verdict(Value):
    """What integration made of one neighbor's row.

    Attributes:
        peer: The neighbor.
        weight: Coefficient of its row in the result; for coordinate-wise rules the mean over
            coordinates of the coefficient it got.
        reason: Empty when the row was used as it is, else why not: a stable short string.
        agreement: Cosine of what it sent with what the others sent, at least 0; None if nobody
            compared them.
        norm_ratio: Its length over the median length; None if nobody compared them.
        gain: Relative gain in held-out loss by a small step towards it; None if nobody tried.
        offence: What its author did wrong where nobody can read it: it was no row at all.
    """

    peer: PeerId
    weight: float
    reason: str
    agreement: float | None = None
    norm_ratio: float | None = None
    gain: float | None = None
    offence: OffenceKind | None = None

    @property
    def is_of_a_row(self) -> bool:
        """Whether there was something to integrate: it could be read."""
        return self.offence is None and self.reason != NOT_READ


class PeerConnected(Value):
    """A control stream to the peer is open, in whichever direction it was dialed.

    Attributes:
        peer: Whose key the other side has proven to hold.
        remote_address: Multiaddress of the other end, empty where there is none.
    """

    peer: PeerId
    remote_address: str = ""


class PeerDisconnected(Value):
    """The control stream to the peer is gone."""

    peer: PeerId


class DialFailed(Value):
    """A `Dial` did not lead to a connection."""

    peer: PeerId
    reason: str


class FrameReceived(Value):
    """A frame arrived on the control stream of the peer."""

    peer: PeerId
    frame: bytes


class TimerFired(Value):
    """A timer set by `SetTimer` ran out."""

    timer: Timer


class PayloadArrived(Value):
    """A fetched payload is in the payload store; length and hash are right."""

    content_hash: bytes


class PayloadFailed(Value):
    """A fetch ended without the payload.

    Attributes:
        peer: Who was asked.
        content_hash: What was asked for.
        bytes_done: How many bytes are kept for resuming.
        offence: What the peer did wrong, if it was the peer's fault.
    """

    peer: PeerId
    content_hash: bytes
    bytes_done: int
    offence: OffenceKind | None


class PayloadWanted(Value):
    """A peer asks for a payload from an offset; answer with `AnswerPayload` and this token."""

    peer: PeerId
    token: int
    content_hash: bytes
    offset: int


class UploadEnded(Value):
    """A transfer that `AnswerPayload` allowed has ended, well or not."""

    peer: PeerId
    token: int


class ValidationFinished(Value):
    """The payload of an update was decoded, or why it was not."""

    job: int
    offence: OffenceKind | None


class TrainingFinished(Value):
    """Local steps are done and their result is encoded and stored.

    Attributes:
        job: Id of the `StartTraining`.
        payload: The encoded own model.
        loss: Mean training loss, None when no step was taken.
        examples: Examples seen in this job.
        is_full: Whether the payload is the whole model, and not a difference from the last one.
    """

    job: int
    payload: PayloadReference
    loss: float | None
    examples: int
    is_full: bool = True


class IntegrationFinished(Value):
    """The rows were integrated into the own model.

    Attributes:
        job: Id of the `StartIntegration`.
        verdicts: One per row, in the order of the rows.
        own_weight: Coefficient of the own row.
        evaluation: Of the new model, when one was asked for.
        note: Why the own model was kept, or empty.
    """

    job: int
    verdicts: tuple[Verdict, ...]
    own_weight: float
    evaluation: Evaluation | None = None
    note: str = ""


class JobFailed(Value):
    """A job raised on this machine; no peer is to blame.

    Attributes:
        job: Its id.
        reason: One line for people.
        cancelled: Whether it ended because of `CancelJob`.
        budget_spent: Whether it did not begin because no further round may: training is over.
    """

    job: int
    reason: str
    cancelled: bool
    budget_spent: bool = False


class CommandGiven(Value):
    """The application or operator asked for something."""

    command: Command


Event = (
    PeerConnected
    | PeerDisconnected
    | DialFailed
    | FrameReceived
    | TimerFired
    | PayloadArrived
    | PayloadFailed
    | PayloadWanted
    | UploadEnded
    | ValidationFinished
    | TrainingFinished
    | IntegrationFinished
    | JobFailed
    | CommandGiven
)
