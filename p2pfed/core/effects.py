"""Everything that a peer can ask its driver to do: the output of `PeerCore.handle`."""

from p2pfed.core.notices import Notice
from p2pfed.core.timers import Timer
from p2pfed.identity import PeerId
from p2pfed.messages import UpdateHeader
from p2pfed.values import Value


class Record(Value):
    """A durable key and value.

    Attributes:
        key: Unique text, `area/name`.
        value: Its bytes, or None to remove it.
    """

    key: str
    value: bytes | None


class OwnPlace(Value):
    """Where the chain of own updates stands; the next difference builds on its end.

    Attributes:
        incarnation: That the next update will be signed under.
        sequence: Of the newest own update in it, 0 before the first.
        needs_full: Whether somebody cannot follow, and the next update is to be full.
    """

    incarnation: int
    sequence: int
    needs_full: bool


class IntegrationRow(Value):
    """One neighbor's update as input of an integration.

    Attributes:
        peer: Its author.
        header: Its header; the payload is in the payload store under `header.payload_hash`.
        before: The headers of updates that it builds on and that may not have been integrated,
            the oldest first; their payloads are in the store, too.
        staleness: Rounds since this row was first integrated, 0 for a new one.
        importance: How many times its mixing weight it counts, above 0; more for authors that take
            part seldom.
        mass_max: Its largest share of the result by reputation, in [0, 1]; None for no bound.
        is_probed: Whether to measure how a small step towards it changes the own held-out loss.
    """

    peer: PeerId
    header: UpdateHeader
    staleness: int
    before: tuple[UpdateHeader, ...] = ()
    importance: float = 1.0
    mass_max: float | None = None
    is_probed: bool = False


class SendFrame(Value):
    """Send a frame on the control stream of a connected peer."""

    peer: PeerId
    frame: bytes


class SetTimer(Value):
    """Hand back `timer` after `delay_s` seconds."""

    timer: Timer
    delay_s: float


class CancelTimer(Value):
    """Forget a timer; a late `TimerFired` does no harm."""

    timer: Timer


class Dial(Value):
    """Connect to a peer at one of its addresses, tried in order."""

    peer: PeerId
    addresses: tuple[str, ...]


class Disconnect(Value):
    """Close the connection to a peer after what was sent to it before has left."""

    peer: PeerId
    reason: str


class Save(Value):
    """Make records durable in one transaction before any later effect of the list starts.

    Attributes:
        records: What to write or remove.
        model_job: Id of the job whose model is current from now on; models of older jobs may go.
        best_model: Whether that model is also the best so far by validation.
    """

    records: tuple[Record, ...]
    model_job: int | None = None
    best_model: bool = False


class StorePayload(Value):
    """Keep a payload that arrived inline; its hash has been checked."""

    content_hash: bytes
    payload: bytes


class DropPayload(Value):
    """Forget a payload. No job that runs needs it; an upload under way may finish."""

    content_hash: bytes


class FetchPayload(Value):
    """Fetch a payload from a connected peer, checking length and hash.

    It is answered once, by `PayloadArrived` or `PayloadFailed`. There is never a second fetch of
    the same payload before that.

    Attributes:
        peer: Whom to ask.
        content_hash: BLAKE3-256 of the whole payload.
        size_bytes: Its size; another one is the peer's offence.
        offset: Where to resume, as `PayloadFailed.bytes_done` said, or 0 to start over.
    """

    peer: PeerId
    content_hash: bytes
    size_bytes: int
    offset: int


class CancelFetch(Value):
    """Stop fetching a payload, without an answer, and forget what arrived of it."""

    content_hash: bytes


class AnswerPayload(Value):
    """Answer a `PayloadWanted`.

    Attributes:
        token: From the `PayloadWanted`.
        content_hash: Which payload.
        offset: Send from here on, or None to refuse.
        refusal: Why not, when refused.
    """

    token: int
    content_hash: bytes
    offset: int | None
    refusal: str = ""


class StartValidation(Value):
    """Decode the payload of an update and check it against the genesis.

    Answered by `ValidationFinished`, or by `JobFailed` when this machine could not do it.

    Attributes:
        job: To be repeated in the answer.
        update_id: Of the update.
        header: Its header.
        is_here: Whether the payload is in the payload store. Else it is a snapshot of a log of
            which all before is integrated: make it of that, and store it. Where the log has another
            one that is an offence, and where the log has not come as far, `JobFailed`.
    """

    job: int
    update_id: bytes
    header: UpdateHeader
    is_here: bool = True


class StartTraining(Value):
    """Take the round's local steps on the own model, then encode it as a payload.

    Attributes:
        job: To be repeated in the answer.
        round: The round, from 0.
        train: False for a relay, which only encodes.
        degree: Neighbors of this peer now; goes into the payload's claims.
        own: What a difference would build on; None where every update is full.
    """

    job: int
    round: int
    train: bool
    degree: int
    own: OwnPlace | None = None


class StartIntegration(Value):
    """Integrate neighbors' rows into the own model.

    Attributes:
        job: To be repeated in the answer.
        round: The round, from 0.
        rows: In ascending order of peer, of a log one per incarnation; empty means that only an
            evaluation is wanted.
        degree: Neighbors of this peer now; enters the mixing weights.
        evaluate: Whether to evaluate the new model on validation data.
        test: Whether to evaluate it on test data as well.
        own: Which own updates are out; None where every update is full.
        frozen: Authors that are proven to have lied; nothing of their logs counts.
        last_lives: Authors with as many lives as count, and the last one of each: nothing counts of
            their logs in incarnations with higher numbers.
    """

    job: int
    round: int
    rows: tuple[IntegrationRow, ...]
    degree: int
    evaluate: bool
    test: bool
    own: OwnPlace | None = None
    frozen: tuple[PeerId, ...] = ()
    last_lives: tuple[tuple[PeerId, int], ...] = ()


class CancelJob(Value):
    """Stop a job soon; it answers with `JobFailed(cancelled=True)` or with its result."""

    job: int


class Notify(Value):
    """Tell the application."""

    notice: Notice


Effect = (
    SendFrame
    | SetTimer
    | CancelTimer
    | Dial
    | Disconnect
    | Save
    | StorePayload
    | DropPayload
    | FetchPayload
    | CancelFetch
    | AnswerPayload
    | StartValidation
    | StartTraining
    | StartIntegration
    | CancelJob
    | Notify
)
