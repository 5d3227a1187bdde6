"""What peers say to each other: plain values, without encoding.

`p2pfed.wire` turns them into bytes and back; docs/wire.md is the byte-level description.
"""

from enum import StrEnum

from p2pfed.identity import PeerId
from p2pfed.values import Value


class UpdateKind(StrEnum):
    """How the payload of an update is to be read."""

    FULL = "full"
    DIFFERENCE = "difference"
    OPERATION = "operation"
    SNAPSHOT = "snapshot"


class Role(StrEnum):
    """What a peer does with its turn: train on its data, or only mix and pass on."""

    TRAIN = "train"
    RELAY = "relay"


class GoodbyeReason(StrEnum):
    """Why a peer closes a connection; stable strings of the wire format."""

    LEAVING = "leaving"
    GENESIS_MISMATCH = "genesis-mismatch"
    VERSION_MISMATCH = "version-mismatch"
    TOO_MANY_NEIGHBORS = "too-many-neighbors"
    BANNED = "banned"


class UpdateHeader(Value):
    """Everything about an update but its payload.

    Attributes:
        run_id: BLAKE3-256 of the genesis, 32 bytes.
        author: Who trained and signs it.
        incarnation: 64 random bits that name one life of the author's state.
        sequence: Counts the author's updates in this incarnation, from 1.
        previous: Update id of the one before in this incarnation, 32 zero bytes at sequence 1.
        kind: How the payload is to be read.
        base: Sequence that a difference applies to, 0 for other kinds.
        round: The author's round, from 0.
        gossip_step: Number of the gossip step within the round, from 1.
        method: Name of the update method.
        codec: Name of the payload codec.
        payload_bytes: Size of the payload, in bytes.
        payload_hash: BLAKE3-256 of the payload, 32 bytes.
    """

    run_id: bytes
    author: PeerId
    incarnation: int
    sequence: int
    previous: bytes
    kind: UpdateKind
    base: int
    round: int
    gossip_step: int
    method: str
    codec: str
    payload_bytes: int
    payload_hash: bytes

    @property
    def builds_on(self) -> int | None:
        """Sequence of what has to be known first, 0 for nothing; None if it stands alone."""
        match self.kind:
            case UpdateKind.DIFFERENCE:
                return self.base
            case UpdateKind.OPERATION:
                return self.sequence - 1
            case UpdateKind.FULL | UpdateKind.SNAPSHOT:
                return None


class SignedHeader(Value):
    """A header as it travels: the exact bytes that were signed, and the signature.

    Attributes:
        header: The decoded header.
        encoded: The received bytes; the signature and the id cover these.
        signature: 64 bytes, Ed25519, by the author.
        update_id: BLAKE3-256 of `encoded`, 32 bytes.
    """

    header: UpdateHeader
    encoded: bytes
    signature: bytes
    update_id: bytes


class Head(Value):
    """The newest update of an author that somebody holds."""

    author: PeerId
    incarnation: int
    sequence: int


class Sighting(Value):
    """The id of the newest update of an author that somebody holds."""

    author: PeerId
    incarnation: int
    sequence: int
    update_id: bytes


class PeerRecord(Value):
    """Where a peer can be dialed, signed by that peer.

    Attributes:
        peer: Whose record it is.
        run_id: The run that the peer takes part in.
        version: Grows with each new record of the peer.
        addresses: Multiaddresses without the trailing PeerID.
        signature: 64 bytes, Ed25519, by `peer`.
    """

    peer: PeerId
    run_id: bytes
    version: int
    addresses: tuple[str, ...]
    signature: bytes


class Hello(Value):
    """First frame in each direction of a connection.

    Attributes:
        version: Protocol version.
        run_id: The sender's run.
        genesis_bytes: Size of the genesis document, so that a newcomer can fetch it by `run_id`.
        genesis_fields: Names of the genesis' top-level fields with the first 8 bytes of the
            BLAKE3 of each value, in document order: names the first differing field to a
            stranger without a transfer.
        incarnation: The sender's incarnation.
        role: Whether the sender trains.
        software: Name and version, for people.
        newest_of_yours: (incarnation, sequence) of the newest update that the sender holds of
            the receiver.
    """

    version: int
    run_id: bytes
    genesis_bytes: int
    genesis_fields: tuple[tuple[str, bytes], ...]
    incarnation: int
    role: Role
    software: str
    newest_of_yours: tuple[int, int] | None


class Announce(Value):
    """An update exists; its payload can be fetched from the sender by hash."""

    update: SignedHeader


class Deliver(Value):
    """An update with its payload inline."""

    update: SignedHeader
    payload: bytes


class Heads(Value):
    """A version vector, or a page of one.

    Attributes:
        digest: BLAKE3-256 of the sender's whole version vector.
        entries: Heads in ascending order of (author, incarnation); empty in the opening frame,
            which asks only whether the digests differ.
        cursor: (author, incarnation) of the last entry when more pages follow, else None.
    """

    digest: bytes
    entries: tuple[Head, ...]
    cursor: tuple[PeerId, int] | None


class RequestUpdates(Value):
    """Asks for updates by id."""

    update_ids: tuple[bytes, ...]


class RequestRange(Value):
    """Asks for the updates of an author whose sequence lies in [first, last]."""

    author: PeerId
    incarnation: int
    first: int
    last: int


class RequestFull(Value):
    """Asks for the newest update of an author, whole.

    Attributes:
        author: Whose newest update is wanted.
    """

    author: PeerId


class RequestHeads(Value):
    """Asks for the page of the version vector that follows a cursor.

    Attributes:
        after: (author, incarnation) of the last entry received, or None for the first page.
    """

    after: tuple[PeerId, int] | None


class Heartbeat(Value):
    """Says that the sender lives, and what it saw of others.

    Attributes:
        active: False once the sender has stopped training and only serves.
        sightings: Newest updates of up to 16 of the sender's neighbors; a differing id for the
            same (author, incarnation, sequence) is proof of equivocation.
    """

    active: bool
    sightings: tuple[Sighting, ...]


class Evidence(Value):
    """Two different headers with the same author, incarnation and sequence: self-verifying."""

    first: SignedHeader
    second: SignedHeader


class PeerRecords(Value):
    """Where other peers can be dialed."""

    records: tuple[PeerRecord, ...]


class Goodbye(Value):
    """The sender closes the connection, and why."""

    reason: GoodbyeReason
    text: str


Message = (
    Hello
    | Announce
    | Deliver
    | Heads
    | RequestUpdates
    | RequestRange
    | RequestFull
    | RequestHeads
    | Heartbeat
    | Evidence
    | PeerRecords
    | Goodbye
)
