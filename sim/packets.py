"""What goes over the wires between simulated machines; neither end sees the other's state."""

from dataclasses import dataclass

# Of a connection: who dialed, who was dialed, and which dial of the caller it was.
ConnectionName = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Knock:
    """A dial reaches the other machine.

    Attributes:
        connection: What it would make.
        deadline_ns: When the caller gives up.
    """

    connection: ConnectionName
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The other machine has a connection now."""

    connection: ConnectionName


@dataclass(frozen=True, slots=True)
class Refusal:
    """No program takes connections there."""

    connection: ConnectionName


@dataclass(frozen=True, slots=True)
class Closed:
    """An end of a connection is gone, or sends nothing more."""

    connection: ConnectionName


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the control stream."""

    connection: ConnectionName
    frame: bytes


@dataclass(frozen=True, slots=True)
class PayloadRequest:
    """Asks for a payload.

    Attributes:
        connection: What carries it.
        fetch: The client's number of it, which all other packets about it have.
        content_hash: Of the whole payload.
        offset: From where on.
    """

    connection: ConnectionName
    fetch: int
    content_hash: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class PayloadAnswer:
    """Says how large a payload is that follows; None for a refusal."""

    fetch: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class PayloadChunk:
    """The next bytes of a payload."""

    connection: ConnectionName
    fetch: int
    chunk: memoryview


@dataclass(frozen=True, slots=True)
class WindowGrant:
    """Says how far the server may send, in bytes from the beginning of the payload."""

    fetch: int
    end: int


@dataclass(frozen=True, slots=True)
class FetchAbandoned:
    """The client takes no more of a payload."""

    fetch: int


Packet = (
    Knock
    | Welcome
    | Refusal
    | Closed
    | Frame
    | PayloadRequest
    | PayloadAnswer
    | PayloadChunk
    | WindowGrant
    | FetchAbandoned
)
