"""Transports of one process without sockets, with the behavior of the real ones.

For tests, and for nodes in a notebook; `MemoryNetwork` has the switches that disturb them.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import final

import trio
from typing_extensions import override

from p2pfed.errors import SchemaError, TransportError
from p2pfed.identity import Identity, PeerId, format_peer_id
from p2pfed.limits import FRAME_BYTES_MAX
from p2pfed.node.framing import FrameTooLarge
from p2pfed.node.links import FrameConnection, LinkTable
from p2pfed.node.memory_network import MemoryNetwork
from p2pfed.node.transport import (
    LinkEvent,
    PayloadServer,
    PayloadSource,
    Traffic,
    TransferRefused,
    Transport,
)
from p2pfed.node.transport_limits import TransportLimits

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536
_PIPE_FRAMES = 64  # in flight in one direction, as a socket buffer would hold


@final
class _Pipe(FrameConnection):
    """One end of a link."""

    def __init__(self, owner: "MemoryTransport", other: "MemoryTransport") -> None:
        self.remote_address = ""
        self.other = other
        self.twin: _Pipe | None = None
        self._owner = owner
        self._inbox_sender, self._inbox = trio.open_memory_channel[bytes | int](_PIPE_FRAMES)

    @override
    async def start(self) -> None:
        await trio.lowlevel.checkpoint()

    @override
    async def receive(self) -> bytes | None:
        try:
            item = await self._inbox.receive()
        except trio.EndOfChannel:
            return None
        except trio.ClosedResourceError:
            raise TransportError("connection cut") from None
        if isinstance(item, int):
            raise FrameTooLarge(item)
        self._owner.count(received_bytes=len(item))
        return item

    @override
    async def transmit(self, frames: Sequence[bytes]) -> None:
        assert self.twin is not None
        for frame in frames:
            await self._owner.network.wait_for_passage(self._owner.peer, self.other.peer)
            try:
                await self.twin._inbox_sender.send(frame)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise TransportError("connection cut") from None
            self._owner.count(sent_bytes=len(frame))

    @override
    async def finish(self) -> None:
        assert self.twin is not None
        self.twin._inbox_sender.close()

    @override
    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        """Break both directions at once."""
        for end in (self, self.twin):
            if end is not None:
                end._inbox_sender.close()
                end._inbox.close()

    def receive_oversized(self, size_bytes: int) -> None:
        """Take the announcement of a frame above the limit."""
        assert size_bytes > FRAME_BYTES_MAX
        self._inbox_sender.send_nowait(size_bytes)


@final
class MemoryTransport(Transport):
    """A transport of a `MemoryNetwork`.

    Args:
        network: Where its peers are.
        identity: Who it is.
        limits: Deadlines and bounds, as for the real one.
    """

    def __init__(
        self, network: MemoryNetwork, identity: Identity, *, limits: TransportLimits | None = None
    ) -> None:
        self.network = network
        self.peer = identity.peer
        self._limits = limits or TransportLimits()
        self._links = LinkTable(self._limits)
        self._address = ""
        self._nursery: trio.Nursery | None = None
        self._serve: PayloadServer | None = None
        self._uploads: Counter[PeerId] = Counter()
        self._sent_bytes = 0
        self._received_bytes = 0

    @override
    def run(self, serve_payload: PayloadServer) -> AbstractAsyncContextManager[None]:
        return self._run(serve_payload)

    @override
    def addresses(self) -> Sequence[str]:
        return [self._address] if self._address else []

    @override
    def loopback_addresses(self) -> Sequence[str]:
        return []

    @override
    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        if self._links.get(peer) is not None:
            return
        failures = ["that is this peer itself"] if peer == self.peer else []
        for address in addresses if peer != self.peer else ():
            other = self.network.find(address)
            if self.network.is_silent(address):
                await trio.sleep(self._limits.dial_s)
                failures.append(f"{address}: gave no answer in time")
            elif other is None:
                failures.append(f"{address}: nobody listens there")
            elif other.peer != peer:
                failures.append(f"{address}: another peer is there")
            else:
                assert isinstance(other, MemoryTransport)
                self._link(other)
                return
        why = "; ".join(failures) or "no address is known"
        raise TransportError(f"cannot reach {format_peer_id(peer)}: {why}")

    @override
    def send(self, peer: PeerId, frame: bytes) -> None:
        self._links.send(peer, frame)

    @override
    async def disconnect(self, peer: PeerId) -> None:
        await self._links.disconnect(peer)

    @override
    def events(self) -> AsyncIterator[LinkEvent]:
        return self._links.events()

    @override
    async def fetch(
        self,
        peer: PeerId,
        content_hash: bytes,
        *,
        size_bytes: int,
        offset: int,
        sink: Callable[[bytes], None],
    ) -> None:
        link = self._links.get(peer)
        if link is None:
            raise TransportError(f"no link to {format_peer_id(peer)}")
        assert isinstance(link.connection, _Pipe)
        other = link.connection.other

        async def cancel_with_link() -> None:
            await link.ended.wait()
            nursery.cancel_scope.cancel()

        outcome: list[Exception] = []
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_with_link)
                try:
                    await self._fetch(other, content_hash, size_bytes, offset, sink)
                except trio.TooSlowError:
                    outcome.append(TransportError("the transfer is too slow or has stalled"))
                except Exception as error:
                    # Kept out of the nursery, which would wrap it in a group.
                    outcome.append(error)
                nursery.cancel_scope.cancel()
        finally:
            is_over = link.ended.is_set()
        if outcome:
            raise outcome[0]
        if is_over:
            raise TransportError("the link broke during the transfer")

    @override
    def traffic(self) -> Traffic:
        return Traffic(sent_bytes=self._sent_bytes, received_bytes=self._received_bytes)

    def count(self, *, sent_bytes: int = 0, received_bytes: int = 0) -> None:
        """Add to the traffic."""
        self._sent_bytes += sent_bytes
        self._received_bytes += received_bytes

    def cut(self, peer: PeerId | None) -> None:
        """Cut the link to a peer, or to all."""
        for link in self._links.live():
            if peer in (None, link.peer):
                assert isinstance(link.connection, _Pipe)
                link.connection.cut()

    def receive_oversized(self, sender: PeerId, size_bytes: int) -> None:
        """Behave as if a peer had announced a frame above the limit."""
        link = self._links.get(sender)
        if link is not None:
            assert isinstance(link.connection, _Pipe)
            link.connection.receive_oversized(size_bytes)

    async def answer(self, peer: PeerId, content_hash: bytes, offset: int) -> PayloadSource | str:
        """Answer a request as the serving side of a transfer.

        Raises:
            TransportError: If this side cannot.
        """
        if self._serve is None:
            raise TransportError("the peer is gone")
        try:
            with trio.fail_after(self._limits.answer_s):
                return await self._serve(peer, content_hash, offset)
        except trio.TooSlowError:
            raise
        except Exception as error:
            # Edge of a handler, as in the real transport: the other side sees a reset.
            logger.exception("payload server failed")
            raise TransportError("the stream was reset") from error

    def _link(self, other: "MemoryTransport") -> None:
        if self._nursery is None or other._nursery is None:
            raise TransportError("transport is not running")
        mine, theirs = _Pipe(self, other), _Pipe(other, self)
        mine.twin, theirs.twin = theirs, mine
        other._links.add(self.peer, theirs, other._nursery)
        self._links.add(other.peer, mine, self._nursery)

    async def _fetch(
        self,
        other: "MemoryTransport",
        content_hash: bytes,
        size_bytes: int,
        offset: int,
        sink: Callable[[bytes], None],
    ) -> None:
        limits = other._limits
        busy = other._uploads[self.peer] >= limits.uploads_per_peer_max
        if busy or other._uploads.total() >= limits.uploads_max:
            raise TransferRefused("busy")
        other._uploads[self.peer] += 1
        try:
            with trio.fail_after(self._limits.idle_s):
                await self.network.wait_for_passage(self.peer, other.peer)
                source = await other.answer(self.peer, content_hash, offset)
            if isinstance(source, str):
                raise TransferRefused(source)
            try:
                await self._receive(other, source, size_bytes, offset, sink)
            finally:
                source.close()
        finally:
            other._uploads[self.peer] -= 1

    async def _receive(
        self,
        other: "MemoryTransport",
        source: PayloadSource,
        size_bytes: int,
        offset: int,
        sink: Callable[[bytes], None],
    ) -> None:
        if offset > source.size_bytes:
            raise TransportError("the stream was reset")
        if source.size_bytes != size_bytes:
            raise SchemaError(
                f"payload of {source.size_bytes} bytes is served, {size_bytes} were announced"
            )
        while offset < size_bytes:
            count = min(_CHUNK_BYTES, size_bytes - offset)
            try:
                with trio.fail_after(self._limits.idle_s):
                    await self.network.wait_for_passage(self.peer, other.peer)
                    chunk = await source.read(offset, count)
            except trio.TooSlowError:
                raise
            except Exception as error:
                # Edge of a handler: the other side's failure is a reset here.
                raise TransportError("the stream was reset") from error
            other.count(sent_bytes=len(chunk))
            self.count(received_bytes=len(chunk))
            sink(self.network.carry(other.peer, chunk))
            offset += count

    @asynccontextmanager
    async def _run(self, serve_payload: PayloadServer) -> AsyncIterator[None]:
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            self._nursery, self._serve = nursery, serve_payload
            self._address = self.network.register(self)
            try:
                yield
            except BaseException as error:
                failure = error  # raised below as it is; here the nursery would wrap it
            self.network.unregister(self._address)
            self._nursery = self._serve = None
            self.cut(None)
            nursery.cancel_scope.cancel()
        self._links.close()
        if failure is not None:
            raise failure
