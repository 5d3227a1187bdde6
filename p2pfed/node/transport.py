"""What a node needs of a network: open, serve, and nothing about learning.

Two implementations, libp2p and in-memory, pass one acceptance suite
(`p2pfed.testing.transport_contract`).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from p2pfed.identity import PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkUp:
    """A control link to the peer is usable, in whichever direction it was dialed.

    Attributes:
        peer: Whose key the other side has proven to hold.
        remote_address: Multiaddress of the other end of the socket, empty where there is none; an
            inbound link shows the peer's outgoing port, not the one that it listens on.
    """

    peer: PeerId
    remote_address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDown:
    """The control link to the peer is gone; what was queued for it is lost."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A whole control frame arrived."""

    peer: PeerId
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversized:
    """A peer announced a frame above the limit; LinkDown follows, the frame is not read."""

    peer: PeerId
    size_bytes: int


LinkEvent = LinkUp | LinkDown | Frame | Oversized


class TransferRefused(Exception):
    """The peer does not serve this payload, and says why; raised by `fetch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes of one peer's transport since it started, counted at the socket where possible."""

    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSource:
    """Where the bytes of a payload come from while it is served, piece by piece.

    Attributes:
        size_bytes: Size of the whole payload.
        read: Called with an offset and a count, returns exactly that many bytes. A source on disk
            reads in a worker thread.
        close: Called once when the transfer is over, however it ended; does not block.
    """

    size_bytes: int
    read: Callable[[int, int], Awaitable[bytes]]
    close: Callable[[], None] = lambda: None

    @staticmethod
    def from_bytes(payload: bytes) -> "PayloadSource":
        """Serve a payload that is in memory already."""

        async def read(offset: int, count: int) -> bytes:
            return payload[offset : offset + count]

        return PayloadSource(size_bytes=len(payload), read=read)


# Called for each inbound transfer request (peer, content hash, offset). Returns the source of the
# whole payload, from which the transport serves what follows the offset, or a refusal text.
PayloadServer = Callable[[PeerId, bytes, int], Awaitable[PayloadSource | str]]


class Transport(ABC):
    """Authenticated links to peers. One per node; used from one trio task tree.

    The peer on the other side of a link is who it says: the transport has verified its key.
    """

    @abstractmethod
    def run(self, serve_payload: PayloadServer) -> AbstractAsyncContextManager[None]:
        """Listen and serve until the block is left; leaving closes every link within 3 s.

        A transport runs once. Nothing that a peer does raises out of the block.

        Raises:
            TransportError: If an address cannot be listened on.
        """

    @abstractmethod
    def addresses(self) -> Sequence[str]:
        """Multiaddresses under which others reach this node, each with `/p2p/<PeerID>`.

        The `announce` override where there is one, else what is listened on, with the port that
        was chosen and one entry per interface, without loopback.
        """

    @abstractmethod
    def loopback_addresses(self) -> Sequence[str]:
        """Multiaddresses that only peers on this machine reach; never for the others."""

    @abstractmethod
    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Connect and open the control link; a link that exists already is kept.

        Two peers that dial each other at the same time end with one link.

        Raises:
            TransportError: If no address leads to the peer within the dial deadline; the message
                names each address and why it failed.
        """

    @abstractmethod
    def send(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame, in order, without waiting; without a link it is dropped.

        A peer whose queue is full is disconnected: losing a frame silently would break the order.

        Raises:
            LocalError: If the frame is longer than FRAME_BYTES_MAX.
        """

    @abstractmethod
    async def disconnect(self, peer: PeerId) -> None:
        """Send what is queued for the peer, for at most a second, then close the connection.

        LinkDown follows as for any other end of a link. Without a link nothing happens.
        """

    @abstractmethod
    def events(self) -> AsyncIterator[LinkEvent]:
        """Yield link events in order; exactly one consumer. Ends when `run` is left.

        For each peer: LinkUp, then frames, then LinkDown, and again. Never two LinkUp in a row.
        Backpressure: when the consumer is slow, reading from sockets slows down.
        """

    @abstractmethod
    async def fetch(
        self,
        peer: PeerId,
        content_hash: bytes,
        *,
        size_bytes: int,
        offset: int,
        sink: Callable[[bytes], None],
    ) -> None:
        """Receive `size_bytes - offset` bytes of a payload, passing chunks to `sink`.

        The total announced by the peer is checked against `size_bytes` before anything is read.
        The caller checks the hash. `sink` returns quickly: while it runs nothing else does. What
        `sink` got before an error stays valid for resuming from that offset. An exception of
        `sink` ends the transfer and is raised here.

        Raises:
            TransferRefused: If the peer does not serve it.
            SchemaError: If the peer announces another size.
            TransportError: If there is no link, or the transfer breaks or idles past its deadline.
        """

    @abstractmethod
    def traffic(self) -> Traffic:
        """Bytes on the wire so far."""
