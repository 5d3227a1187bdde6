"""What the acceptance suite of transports needs to make and disturb one kind of them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import trio

from p2pfed.identity import Identity, PeerId
from p2pfed.node.transport import (
    Frame,
    LinkDown,
    LinkEvent,
    LinkUp,
    Oversized,
    PayloadServer,
    PayloadSource,
    Transport,
)
from p2pfed.node.transport_limits import TransportLimits

WAIT_S = 10.0  # for what takes milliseconds; a machine that is busy takes longer

SHORT = TransportLimits(
    dial_s=0.6, greeting_s=0.6, handshake_s=0.6, idle_s=0.6, answer_s=0.6, close_s=0.2
)
"""For checks that wait for a deadline to pass; all others run with the defaults."""

ErrorType = TypeVar("ErrorType", bound=BaseException)


class TransportLab(ABC):
    """Makes transports of one kind that can reach each other."""

    @abstractmethod
    def make(self, identity: Identity, limits: TransportLimits) -> Transport:
        """Return a transport that is not running."""

    @abstractmethod
    def addresses(self, transport: Transport) -> Sequence[str]:
        """Return where the others of this lab dial a running transport."""

    @abstractmethod
    def dead_address(self) -> str:
        """Return a well-formed address at which nobody listens."""

    @abstractmethod
    def silent_address(self) -> AbstractAsyncContextManager[str]:
        """Give an address where somebody accepts and then says nothing, inside the block."""

    @abstractmethod
    async def vanish(self, transport: Transport) -> None:
        """Cut a running transport off, as a power failure does; it is not used afterwards."""

    @abstractmethod
    async def announce_oversized(self, sender: Transport, receiver: PeerId, size: int) -> None:
        """Let a linked transport announce a frame of `size` bytes, above the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running transport of the suite."""

    lab: TransportLab
    identity: Identity
    transport: Transport
    events: AsyncIterator[LinkEvent]

    @property
    def peer(self) -> PeerId:
        """Who it is."""
        return self.identity.peer

    @property
    def addresses(self) -> Sequence[str]:
        """Where the others dial it."""
        return self.lab.addresses(self.transport)

    async def dial(self, other: "Node") -> None:
        """Link with another node."""
        await self.transport.dial(other.peer, other.addresses)

    async def next_event(self) -> LinkEvent:
        """Return the next event, which must come."""
        with trio.fail_after(WAIT_S):
            return await anext(self.events)

    async def expect_up(self, other: "Node") -> None:
        """Check that the next event is the link to another node coming up."""
        event = await self.next_event()
        assert isinstance(event, LinkUp), event
        assert event.peer == other.peer

    async def expect_down(self, other: "Node") -> str:
        """Check that the next event is the link to another node going down; return the reason."""
        event = await self.next_event()
        assert isinstance(event, LinkDown), event
        assert event.peer == other.peer
        return event.reason

    async def expect_oversized(self, other: "Node") -> int:
        """Check that the next event is a frame above the limit; return its announced size."""
        event = await self.next_event()
        assert isinstance(event, Oversized), event
        assert event.peer == other.peer
        return event.size_bytes

    async def expect_frame(self, other: "Node", data: bytes) -> None:
        """Check that the next event is a certain frame of another node."""
        event = await self.next_event()
        assert isinstance(event, Frame), event
        assert event.peer == other.peer
        assert event.data == data

    async def wait_down(self, other: "Node") -> str:
        """Skip frames until the link to another node goes down; return the reason."""
        while True:
            event = await self.next_event()
            if isinstance(event, LinkDown) and event.peer == other.peer:
                return event.reason
            assert isinstance(event, Frame), event


def serve(payload: bytes) -> PayloadServer:
    """Return a server of one payload, whatever hash is asked for."""

    async def answer(_peer: PeerId, _content_hash: bytes, _offset: int) -> PayloadSource:
        return PayloadSource.from_bytes(payload)

    return answer


@asynccontextmanager
async def running(
    lab: TransportLab,
    seed: int,
    *,
    server: PayloadServer | None = None,
    limits: TransportLimits | None = None,
) -> AsyncIterator[Node]:
    """Run a transport whose identity follows from a small number."""
    identity = Identity(bytes([seed]) * 32)
    transport = lab.make(identity, limits or TransportLimits())
    async with transport.run(server or serve(b"")):
        yield Node(lab=lab, identity=identity, transport=transport, events=transport.events())


@asynccontextmanager
async def linked(
    lab: TransportLab,
    *,
    server: PayloadServer | None = None,
    limits: TransportLimits | None = None,
) -> AsyncIterator[tuple[Node, Node]]:
    """Run two transports with a link, dialed by the first; `server` is the second one's."""
    async with (
        running(lab, 1, limits=limits) as one,
        running(lab, 2, server=server, limits=limits) as other,
    ):
        await one.dial(other)
        await one.expect_up(other)
        await other.expect_up(one)
        yield one, other


async def expect(
    error_type: type[ErrorType], function: Callable[[], Awaitable[object]]
) -> ErrorType:
    """Check that a call raises, within the time that any of them may take; return the error."""
    with trio.fail_after(WAIT_S):
        try:
            await function()
        except error_type as error:
            return error
    raise AssertionError(f"{error_type.__name__} was not raised")
