"""Control links, whatever carries them: outbound queues, tasks, and the order of events."""

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import final

import trio
from typing_extensions import override

from p2pfed.errors import LocalError, TransportError
from p2pfed.identity import PeerId
from p2pfed.limits import FRAME_BYTES_MAX
from p2pfed.node.framing import FrameTooLarge
from p2pfed.node.transport import Frame, LinkDown, LinkEvent, LinkUp, Oversized
from p2pfed.node.transport_limits import TransportLimits

logger = logging.getLogger(__name__)

_BATCH_BYTES = 65_536  # small frames share a write; a quarter of the largest muxer frame


class FrameConnection(ABC):
    """What a link needs of the layer below. Any failure is a TransportError."""

    remote_address: str

    @abstractmethod
    async def start(self) -> None:
        """Do what must happen before the first frame; a failure means there never was a link."""

    @abstractmethod
    async def receive(self) -> bytes | None:
        """Return the next frame, or None when the peer will send no more.

        Raises:
            FrameTooLarge: If the peer announces a frame above the limit.
            TransportError: If the connection breaks.
        """

    @abstractmethod
    async def transmit(self, frames: Sequence[bytes]) -> None:
        """Send frames in order."""

    @abstractmethod
    async def finish(self) -> None:
        """Tell the peer that no more frames follow."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything, in bounded time and without raising; also cuts a stuck write."""


@final
class Link:
    """One life of a link to one peer."""

    def __init__(self, peer: PeerId, connection: FrameConnection, limits: TransportLimits) -> None:
        self.peer = peer
        self.connection = connection
        self.ended = trio.Event()  # no more frames in either direction
        self.announced_down = trio.Event()  # its LinkDown is in the queue of events
        self.starting = trio.CancelScope()  # around everything before its LinkUp
        self.started = trio.Event()  # it is known whether it was ever usable
        self.was_usable = False
        self.reason = ""
        self._limits = limits
        self._scope = trio.CancelScope()
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = trio.Event()
        self._is_finishing = False

    @property
    def is_ended(self) -> bool:
        """Whether the link is over or being ended."""
        return bool(self.reason)

    def send(self, frame: bytes) -> None:
        """Queue a frame; a full queue ends the link."""
        if self.is_ended or self._is_finishing:
            return
        frames, size = len(self._queue) + 1, self._queued_bytes + len(frame)
        if frames > self._limits.queue_frames_max or size > self._limits.queue_bytes_max:
            self.end(f"outbound queue is full: {frames} frames, {size} bytes")
            return
        self._queue.append(frame)
        self._queued_bytes = size
        self._wake.set()

    def finish(self) -> None:
        """Let what is queued go out, then tell the peer that this was all."""
        self._is_finishing = True
        self._wake.set()

    def end(self, reason: str) -> None:
        """End the link now; the first reason counts."""
        if not self.reason:
            self.reason = reason
        self.starting.cancel()
        self._scope.cancel()

    async def carry(self, events: trio.MemorySendChannel[tuple["Link", LinkEvent]]) -> None:
        """Move frames both ways until the link ends; never raises but Cancelled."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._guard, self._transmit)
                    nursery.start_soon(self._guard, partial(self._receive, events))
        finally:
            self.reason = self.reason or "closed"
            self.ended.set()

    async def _guard(self, direction: Callable[[], Awaitable[None]]) -> None:
        """Turn every failure of one direction into the end of the link."""
        try:
            await direction()
        except trio.TooSlowError:
            self.end(f"the peer took no frame for {self._limits.frame_write_s:g} s")
        except TransportError as error:
            self.end(str(error))
        except Exception:
            # Whatever a peer made the layers below raise costs this link and nothing else.
            logger.exception("link to %s failed", self.peer.hex()[:8])
            self.end("internal error")

    async def _receive(self, events: trio.MemorySendChannel[tuple["Link", LinkEvent]]) -> None:
        try:
            while (frame := await self.connection.receive()) is not None:
                await events.send((self, Frame(peer=self.peer, data=frame)))
        except FrameTooLarge as error:
            await events.send((self, Oversized(peer=self.peer, size_bytes=error.size_bytes)))
            raise
        self.end("disconnected" if self._is_finishing else "closed by the peer")

    async def _transmit(self) -> None:
        while True:
            while not self._queue:
                if self._is_finishing:
                    await self.connection.finish()
                    return
                self._wake = trio.Event()
                await self._wake.wait()
            with trio.fail_after(self._limits.frame_write_s):
                await self.connection.transmit(self._take_batch())

    def _take_batch(self) -> list[bytes]:
        batch = [self._queue.popleft()]
        size = len(batch[0])
        while self._queue and size + len(self._queue[0]) <= _BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        self._queued_bytes -= size
        return batch


@final
class LinkTable:
    """The links of one transport and the events that they make, for one consumer."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._sender, self._receiver = trio.open_memory_channel[tuple[Link, LinkEvent]](
            limits.events_max
        )
        self._newest: dict[PeerId, Link] = {}
        self._announced: dict[PeerId, Link] = {}  # between the LinkUp and LinkDown that were queued
        # What the consumer knows of: frames go where its last LinkUp pointed, never to a link that
        # it has not heard of, on which the peer would expect another conversation.
        self._visible: dict[PeerId, Link] = {}

    def get(self, peer: PeerId) -> Link | None:
        """Return the live link to a peer."""
        link = self._newest.get(peer)
        return None if link is None or link.is_ended else link

    async def settle(self, peer: PeerId) -> bool:
        """Wait until the newest link to a peer is usable; return whether it ever was."""
        link = self.get(peer)
        if link is None:
            return False
        await link.started.wait()
        return link.was_usable

    def live(self) -> list[Link]:
        """Return all live links."""
        return [link for link in self._newest.values() if not link.is_ended]

    def add(self, peer: PeerId, connection: FrameConnection, nursery: trio.Nursery) -> Link:
        """Make the connection the link to its peer; one that exists ends first."""
        previous = self._newest.get(peer)
        if previous is not None:
            previous.end("replaced by a newer connection of the peer")
        link = Link(peer, connection, self._limits)
        self._newest[peer] = link
        nursery.start_soon(self._run_link, link)
        return link

    def send(self, peer: PeerId, frame: bytes) -> None:
        """Queue a frame for the link that the consumer sees; see `Transport.send`."""
        if len(frame) > FRAME_BYTES_MAX:
            raise LocalError(f"frame of {len(frame)} bytes, at most {FRAME_BYTES_MAX} are allowed")
        link = self._visible.get(peer)
        if link is not None:
            link.send(frame)

    async def disconnect(self, peer: PeerId) -> None:
        """End the link to a peer after what is queued; see `Transport.disconnect`."""
        link = self._newest.get(peer)
        if link is None:
            return
        link.finish()
        with trio.move_on_after(self._limits.flush_s):
            await link.ended.wait()
        link.end("disconnected")

    def close(self) -> None:
        """End the stream of events; no link may be running any more."""
        self._sender.close()

    def events(self) -> AsyncIterator[LinkEvent]:
        """Yield events in order; see `Transport.events`."""
        return _Events(self._receiver, self._visible)

    async def _run_link(self, link: Link) -> None:
        try:
            if not await self._start(link):
                return
            self._announced[link.peer] = link
            address = link.connection.remote_address
            await self._sender.send((link, LinkUp(peer=link.peer, remote_address=address)))
            async with trio.open_nursery() as nursery:
                await link.carry(self._sender)
                nursery.start_soon(link.connection.close)
                await self._sender.send((link, LinkDown(peer=link.peer, reason=link.reason)))
                self._forget(link)  # before closing is over, so that the next link need not wait
        finally:
            link.end("closed")
            link.ended.set()
            link.started.set()
            self._forget(link)
            await link.connection.close()

    def _forget(self, link: Link) -> None:
        link.announced_down.set()
        for table in (self._newest, self._announced):
            if table.get(link.peer) is link:
                del table[link.peer]

    async def _start(self, link: Link) -> bool:
        """Prepare a link and wait for the LinkDown of the one before; False if it came to naught.

        Ended links do not wait, so a peer that connects again and again piles nothing up.
        """
        try:
            with link.starting:
                with trio.fail_after(self._limits.greeting_s):
                    await link.connection.start()
                link.was_usable = True
                link.started.set()
                while (earlier := self._announced.get(link.peer)) is not None:
                    await earlier.announced_down.wait()
        except (TransportError, trio.TooSlowError) as error:
            logger.debug("link to %s did not start: %s", link.peer.hex()[:8], error)
            return False
        return not link.is_ended


@final
class _Events(AsyncIterator[LinkEvent]):
    """Hands out events and notes what the consumer knows by now."""

    def __init__(
        self,
        receiver: trio.MemoryReceiveChannel[tuple[Link, LinkEvent]],
        visible: dict[PeerId, Link],
    ) -> None:
        self._receiver = receiver
        self._visible = visible

    @override
    async def __anext__(self) -> LinkEvent:
        try:
            link, event = await self._receiver.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        match event:
            case LinkUp():
                self._visible[link.peer] = link
            case LinkDown():
                self._visible.pop(link.peer, None)
            case Frame() | Oversized():
                pass
        return event
