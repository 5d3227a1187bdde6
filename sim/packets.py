"""What goes over the wires between simulated machines; neither end sees the other's state."""

from msgspec import Struct

# Of a connection: who dialed, who was dialed, and which dial of the caller it was.
ConnectionName = tuple[int, int, int]


class Knock(Struct, frozen=True):
    """A dial reaches the other machine.

    Attributes:
        connection: What it would make.
        deadline_ns: When the caller gives up.
    """

    connection: ConnectionName
    deadline_ns: int


class Welcome(Struct, frozen=True):
    """The other machine has a connection now."""

    connection: ConnectionName


class Refusal(Struct, frozen=True):
    """No program takes connections there."""

    connection: ConnectionName


class Closed(Struct, frozen=True):
    """An end of a connection is gone, or sends nothing more."""

    connection: ConnectionName


class Frame(Struct, frozen=True):
    """A frame of the control stream."""

    connection: ConnectionName
    frame: bytes


class PayloadRequest(Struct, frozen=True):
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


class PayloadAnswer(Struct, frozen=True):
    """Says how large a payload is that follows; None for a refusal."""

    fetch: int
    size_bytes: int | None


class PayloadChunk(Struct, frozen=True):
    """The next bytes of a payload."""

    connection: ConnectionName
    fetch: int
    chunk: memoryview | bytes


class WindowGrant(Struct, frozen=True):
    """Says how far the server may send, in bytes from the beginning of the payload."""

    fetch: int
    end: int


class FetchAbandoned(Struct, frozen=True):
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
