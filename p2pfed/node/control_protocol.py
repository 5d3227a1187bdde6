"""`/p2pfed/control/1`: one long-lived stream of frames per pair of peers.

The side that opens the stream greets with 16 bytes: 8 random bytes that name this run of its
program, and a number that counts the greetings of this run. The other side answers with 17 bytes:
a verdict, its own run, and the number of its newest greeting. Frames follow in both directions.

Two peers may greet each other at the same time, on two connections. Then the greeting of the
smaller PeerID counts: the larger side accepts it and drops its own, the smaller side waits for
the answer to its own before it answers the other. Since the answer carries the number of the
newest greeting, a greeting that was overtaken is recognized when it arrives late.
"""

import logging
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

import trio
from libp2p.custom_types import TProtocol
from typing_extensions import override

from p2pfed.errors import TransportError
from p2pfed.identity import PeerId
from p2pfed.node.connections import Connection, Connections
from p2pfed.node.duplex_stream import DuplexStream, open_stream
from p2pfed.node.framing import FrameBuffer, encode_frame
from p2pfed.node.links import FrameConnection, LinkTable
from p2pfed.node.transport_limits import TransportLimits

logger = logging.getLogger(__name__)

CONTROL_PROTOCOL: Final = TProtocol("/p2pfed/control/1")

_GREETING = struct.Struct(">8sQ")
_ANSWER = struct.Struct(">B8sQ")
_ACCEPTED, _SUPERSEDED = 0, 1
_READ_BYTES = 65_536  # a whole frame of the largest size, or many small ones


@dataclass(frozen=True, slots=True)
class _Greeting:
    """Which run of a peer's program spoke, and how often it had greeted anybody by then."""

    run: bytes
    number: int

    def is_before(self, other: "_Greeting") -> bool:
        """Whether it was sent no later than the other, by the same run."""
        return self.run == other.run and self.number <= other.number


@dataclass(slots=True)
class _Attempt:
    """A greeting of ours that has not been answered."""

    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)


@final
class _ControlStream(FrameConnection):
    """The stream under a link, with the connection that lives and dies with it."""

    def __init__(
        self,
        stream: DuplexStream,
        connection: Connection,
        connections: Connections,
        *,
        peer_was_at: _Greeting,
        answer: bytes = b"",
    ) -> None:
        self.remote_address = connection.remote_address
        self.peer_was_at = peer_was_at
        self._stream = stream
        self.connection = connection
        self._connections = connections
        self._answer = answer
        self._frames = FrameBuffer()
        connection.has_link = True

    @override
    async def start(self) -> None:
        if self._answer:
            await self._stream.write(self._answer)

    @override
    async def receive(self) -> bytes | None:
        while (frame := self._frames.next_frame()) is None:
            data = await self._stream.read(_READ_BYTES)
            if data:
                self._frames.feed(data)
            elif self._frames.is_empty:
                return None
            else:
                raise TransportError("the peer closed the link in the middle of a frame")
        return frame

    @override
    async def transmit(self, frames: Sequence[bytes]) -> None:
        await self._stream.write(b"".join(map(encode_frame, frames)))

    @override
    async def finish(self) -> None:
        await self._stream.finish()

    @override
    async def close(self) -> None:
        await self._connections.close(self.connection)


@final
class ControlProtocol:
    """Makes connections into links, one per peer."""

    def __init__(
        self,
        me: PeerId,
        links: LinkTable,
        connections: Connections,
        limits: TransportLimits,
        nursery: trio.Nursery,
    ) -> None:
        self._me = me
        self._links = links
        self._connections = connections
        self._limits = limits
        self._nursery = nursery
        self._newest = _Greeting(os.urandom(8), 0)
        self._attempts: dict[PeerId, _Attempt] = {}

    def connection(self, peer: PeerId) -> Connection | None:
        """Return the connection under the link to a peer."""
        link = self._links.get(peer)
        if link is None:
            return None
        assert isinstance(link.connection, _ControlStream)
        return link.connection.connection

    async def greet(self, connection: Connection) -> None:
        """Make a connection that we dialed the link to its peer, unless there is one by then.

        Raises:
            TransportError: If no link to the peer comes of it within `greeting_s`.
        """
        peer = connection.peer
        if self._links.get(peer) is not None:  # the peer was faster
            self._nursery.start_soon(self._connections.close, connection)
            return
        attempt = self._attempts[peer] = _Attempt()
        is_linked = False
        try:
            with attempt.scope, trio.fail_after(self._limits.greeting_s):
                is_linked = await self._greet(connection)
        except trio.TooSlowError:
            text = f"no answer to the greeting for {self._limits.greeting_s:g} s"
            raise TransportError(text) from None
        finally:
            del self._attempts[peer]
            attempt.over.set()
            if not is_linked:
                self._nursery.start_soon(self._connections.close, connection)
        if not is_linked and self._links.get(peer) is None:
            raise TransportError("the peer prefers another connection that does not exist")

    async def on_stream(self, connection: Connection, stream: DuplexStream) -> None:
        """Answer a peer that opened a control stream; returns when that is decided."""
        peer = connection.peer
        with trio.fail_after(self._limits.greeting_s):
            greeting = _Greeting(*_GREETING.unpack(await stream.read_exactly(_GREETING.size)))
            attempt = self._attempts.get(peer)
            if attempt is not None and self._me < peer:
                await attempt.over.wait()
            elif attempt is not None:
                attempt.scope.cancel()
            if self._is_overtaken(peer, greeting) or connection.has_link:
                await stream.write(self._answer(_SUPERSEDED))
                await stream.release(clean=True)
                return
        self._link(connection, stream, greeting, answer=self._answer(_ACCEPTED))

    async def _greet(self, connection: Connection) -> bool:
        stream = await open_stream(connection.conn, CONTROL_PROTOCOL)
        self._newest = _Greeting(self._newest.run, self._newest.number + 1)
        await stream.write(_GREETING.pack(self._newest.run, self._newest.number))
        answer = await stream.read_exactly(_ANSWER.size)
        verdict, *peer_was_at = _ANSWER.unpack(answer)
        if verdict != _ACCEPTED or self._links.get(connection.peer) is not None:
            return False
        self._link(connection, stream, _Greeting(*peer_was_at))
        return True

    def _link(
        self, connection: Connection, stream: DuplexStream, at: _Greeting, *, answer: bytes = b""
    ) -> None:
        control = _ControlStream(
            stream, connection, self._connections, peer_was_at=at, answer=answer
        )
        self._links.add(connection.peer, control, self._nursery)

    def _is_overtaken(self, peer: PeerId, greeting: _Greeting) -> bool:
        link = self._links.get(peer)
        if link is None:
            return False
        assert isinstance(link.connection, _ControlStream)
        return greeting.is_before(link.connection.peer_was_at)

    def _answer(self, verdict: int) -> bytes:
        return _ANSWER.pack(verdict, self._newest.run, self._newest.number)
