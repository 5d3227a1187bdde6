"""The muxer and the Noise messages under it: the part of `libp2p_compat` that bytes go through.

Subclasses of py-libp2p 0.8.1's classes, which `libp2p_compat.apply` puts in their place.
"""

import logging
import struct
from contextlib import suppress
from typing import Any, Final, cast, final

import trio
from libp2p.abc import IMuxedConn
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH, NoiseTransportReadWriter
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from typing_extensions import override

from p2pfed.node.metered_stream import MeteredStream

logger = logging.getLogger(__name__)

# Four Noise messages of 65,519 bytes hold one frame. Stock 64 KiB frames are one byte count too
# long for one message, so each becomes two; larger frames cost 40 % less CPU per byte.
FRAME_BYTES: Final = 4 * 65_519
# The library grows receive windows to 16 MiB, grants past that, and then refuses js-libp2p's
# window-sized frames. 4 MiB fill 40 MB/s at 100 ms and bound what a silent reader must hold.
WINDOW_BYTES_MAX: Final = 4 << 20
# While a frame is written no other stream of the connection gets a turn, heartbeats included, so
# frames shrink on a slow uplink: at 30 kB/s a frame of 16 KiB takes half a second.
FRAME_BYTES_MIN: Final = 16_384
FRAME_BYTES_FIRST: Final = 65_519
FRAME_SLOW_S: Final = 0.2
FRAME_FAST_S: Final = 0.05
# A peer that takes a frame at less than 9 kB/s is as good as gone.
FRAME_WRITE_S: Final = 30.0
# Zero send window: the library gives up after 5 s, in which a 256 KiB frame needs 52 kB/s.
WINDOW_WAIT_S: Final = 30.0
_NOISE_LENGTH: Final = struct.Struct(">H")
_WINDOW_POLL_S: Final = 0.5  # a stream that is closed while it waits notices after this


class _WindowExceeded(trio.TooSlowError):
    """A peer sent more than its window; the only exception that makes the muxer hang up."""


@final
class _WindowBuffer(bytearray):
    """Received bytes of one stream. The library grants a window but does not enforce it."""

    conn: "HardenedYamux"
    stream_id: int

    @override
    def extend(self, data: Any, /) -> None:
        stream = self.conn.streams[self.stream_id]
        # Twice, because the library's own accounting grants up to one read more than the window.
        limit = 2 * int(stream.target_recv_window) + FRAME_BYTES
        if len(self) + len(data) > limit:
            raise _WindowExceeded(f"stream {self.stream_id} holds more than {limit} bytes")
        super().extend(data)


@final
class _WindowBuffers(dict[int, bytearray]):
    """Makes each stream's buffer a bounded one."""

    def __init__(self, conn: "HardenedYamux") -> None:
        super().__init__()
        self._conn = conn

    @override
    def __setitem__(self, stream_id: int, value: bytearray) -> None:
        buffer = _WindowBuffer(value)
        buffer.conn, buffer.stream_id = self._conn, stream_id
        super().__setitem__(stream_id, buffer)


@final
class PatientStream(yamux.YamuxStream):
    """A stream that waits for a slow peer, wakes without polling, and keeps its window small."""

    _credit = 0
    _credit_came: trio.Event | None = None

    @property  # type: ignore[explicit-override]  # a variable in the base class
    def send_window(self) -> int:
        """Bytes that the peer still takes."""
        return self._credit

    @send_window.setter
    def send_window(self, value: int) -> None:
        self._credit = value
        if value > 0 and self._credit_came is not None:
            self._credit_came.set()
            self._credit_came = None

    @override
    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self.send_closed or self.closed:
                raise MuxedStreamError("Stream is closed for sending")
            if self._credit <= 0:
                await self._wait_for_credit()
                continue
            frame_bytes = cast(HardenedYamux, self.conn).frame_bytes
            size = min(len(view), self._credit, frame_bytes - yamux.HEADER_SIZE)
            self._credit -= size
            header = struct.pack(
                yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, self.stream_id, size
            )
            await self.conn._write_frame(b"".join((header, view[:size])))
            view = view[size:]

    async def _wait_for_credit(self) -> None:
        deadline = trio.current_time() + WINDOW_WAIT_S
        while self._credit <= 0 and not self.closed:
            if trio.current_time() >= deadline:
                raise MuxedStreamError(f"no window from the peer for {WINDOW_WAIT_S:g} s")
            if self._credit_came is None:
                self._credit_came = trio.Event()
            with trio.move_on_after(_WINDOW_POLL_S):
                await self._credit_came.wait()

    @override
    async def _auto_tune_and_send_window_update(self, *, bytes_read: int = 0) -> None:
        buffered = len(self.conn.stream_buffers.get(self.stream_id, b""))
        increment = self.target_recv_window - (self.recv_window + buffered)
        if 2 * increment < self.target_recv_window:
            return  # the library tells of every read; each costs a system call on both sides
        self.recv_window += increment
        increment += self._apply_autotune_epoch(buffered)
        await self.send_window_update(increment)

    @override
    def _apply_autotune_epoch(self, buffered: int) -> int:
        if self.target_recv_window >= WINDOW_BYTES_MAX:
            self.epoch_start = trio.current_time()
            return 0
        return super()._apply_autotune_epoch(buffered)


@final
class HardenedYamux(yamux.Yamux):
    """A muxer that a cancelled task cannot tear and a peer cannot crash, stall or fill."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stream_buffers = _WindowBuffers(self)
        self.frame_bytes = FRAME_BYTES_FIRST

    @override
    async def start(self) -> None:
        try:
            await super().start()
        except Exception:
            # Edge of the library: an exception here would end the whole host.
            logger.exception("muxer of a connection failed")
            await self._cleanup_on_error()

    @override
    async def close(self, error_code: int = yamux.GO_AWAY_NORMAL) -> None:
        # The library's ends with a pause of 0.1 s, one after the other for all connections.
        if not self.event_shutting_down.is_set():
            with suppress(Exception):  # it is a courtesy, and the connection may be broken
                await self._write_frame(
                    struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_GO_AWAY, 0, 0, error_code)
                )
        await self._cleanup_on_error()

    @override
    async def open_stream(self) -> yamux.YamuxStream:
        if self.stream_backlog_semaphore.value == 0:
            raise MuxedStreamError("too many streams are open to the peer")  # not: wait for ever
        return await super().open_stream()

    @override
    async def _write_frame(self, data: bytes) -> None:
        # A header alone changes bookkeeping that its sender has done already (window, open, close)
        # and goes out even if the sender is cancelled meanwhile. Data may still be given up here.
        with trio.CancelScope(shield=len(data) == yamux.HEADER_SIZE):
            async with self._write_lock:
                await self._write_whole(data)

    async def _write_whole(self, data: bytes) -> None:
        """Write a frame whole or cut the connection: after half a frame nothing is readable."""
        begin = trio.current_time()
        with trio.CancelScope(shield=True, deadline=begin + FRAME_WRITE_S) as scope:
            await self.secured_conn.write(data)
        if scope.cancelled_caught:
            abort(self)
            raise ConnectionClosedError(f"the peer took no frame for {FRAME_WRITE_S:g} s")
        duration_s = trio.current_time() - begin
        if duration_s > FRAME_SLOW_S:
            self.frame_bytes = max(self.frame_bytes // 2, FRAME_BYTES_MIN)
        elif duration_s < FRAME_FAST_S:
            self.frame_bytes = min(self.frame_bytes * 2, FRAME_BYTES)


async def write_noise_messages(
    self: NoiseTransportReadWriter, msg: bytes, prefix_encoded: bool = False
) -> None:
    """Encrypt a frame into as many Noise messages as it needs, and write them at once."""
    assert not prefix_encoded  # a matter of handshakes, which have a class of their own
    parts: list[bytes] = []
    for begin in range(0, len(msg), MAX_PLAINTEXT_LENGTH):
        encrypted = self.encrypt(msg[begin : begin + MAX_PLAINTEXT_LENGTH])
        parts += (_NOISE_LENGTH.pack(len(encrypted)), encrypted)
    await self.read_writer.read_write_closer.write(b"".join(parts))


async def read_noise_message(self: NoiseTransportReadWriter, prefix_encoded: bool = False) -> bytes:
    """Read a message with two calls; the library copies each byte three times on the way here."""
    assert not prefix_encoded
    raw = cast(RawConnection, self.read_writer.read_write_closer)
    (size,) = _NOISE_LENGTH.unpack(await _read_whole(raw, _NOISE_LENGTH.size))
    return self.decrypt(await _read_whole(raw, size))


async def _read_whole(raw: RawConnection, size: int) -> bytes:
    data = await raw.read(size)
    while len(data) < size:
        more = await raw.read(size - len(data))
        if not more:
            text = f"connection closed after {len(data)} of {size} bytes"
            raise IncompleteReadError(text, expected_bytes=size, received_bytes=len(data))
        data += more
    return data


def abort(conn: IMuxedConn) -> None:
    """Cut the socket under a muxed connection."""
    stream = raw_stream(conn)
    if stream is not None:
        stream.abort()


def raw_stream(conn: IMuxedConn) -> MeteredStream | None:
    """Return the socket under a muxed connection, or None if it is not one of ours (a relay)."""
    session = getattr(getattr(conn, "secured_conn", None), "conn", None)
    raw = getattr(getattr(session, "read_writer", None), "read_write_closer", None)
    stream = raw.stream if isinstance(raw, RawConnection) else None
    return stream if isinstance(stream, MeteredStream) else None
