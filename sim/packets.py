"""What goes over the wires between simulated machines; neither end sees the other's state."""

from typing import NamedTuple

# Of a connection: who dialed, who was dialed, and which dial of the caller it was.
ConnectionName = tuple[int, int, int]


class Knock(NamedTuple):
    """A dial reaches the other machine.

    Attributes:
        connection: What it would make.
        deadline_ns: When the caller gives up.
    """

    connection: ConnectionName
    deadline_ns: int


class Welcome(NamedTuple):
    """The other machine has a connection now."""

    connection: ConnectionName


class Refusal(NamedTuple):
    """No program takes connections there."""

    connection: ConnectionName


class Closed(NamedTuple):
    """An end of a connection is gone, or sends nothing more."""

    connection: ConnectionName


class Frame(NamedTuple):
    """A frame of the control stream."""

    connection: ConnectionName
    frame: bytes


class PayloadRequest(NamedTuple):
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


class PayloadAnswer(NamedTuple):
    """Says how large a payload is that follows; None for a refusal."""

    fetch: int
    size_bytes: int | None


class PayloadChunk(NamedTuple):
    """The next bytes of a payload."""

    connection: ConnectionName
    fetch: int
    chunk: memoryview | bytes


class WindowGrant(NamedTuple):
    """Says how far the server may send, in bytes from the beginning of the payload."""

    fetch: int
    end: int


class FetchAbandoned(NamedTuple):
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
