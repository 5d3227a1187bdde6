"""The socket under a libp2p connection: counts bytes, reads exactly, and can be cut at once."""

from dataclasses import dataclass
from typing import final

import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from typing_extensions import override

from p2pfed.node.transport import Traffic

_BUFFER_BYTES = 131_072  # two Noise messages; fewer system calls than the library's 2-byte reads


@dataclass(slots=True)
class Meter:
    """Bytes that went through the sockets of one transport."""

    sent_bytes: int = 0
    received_bytes: int = 0

    def read(self) -> Traffic:
        """Return the counts so far."""
        return Traffic(sent_bytes=self.sent_bytes, received_bytes=self.received_bytes)


@final
class MeteredStream(ReadWriteCloser):
    """A TCP stream for py-libp2p's layers.

    `read(n)` returns n bytes, or the size of the buffer if that is less, unless the stream ends.
    The library too reads until it has n bytes, but gives up after 101 partial reads, which small
    packets reach.
    """

    def __init__(self, stream: trio.SocketStream, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._begin = 0  # what was received and not read lies between these two
        self._end = 0
        self._remote = _remote_address(stream)

    @override
    async def read(self, n: int | None = None) -> bytes:
        wanted = 1 if n is None else min(n, _BUFFER_BYTES)
        if self._begin + wanted > _BUFFER_BYTES:
            rest = self._end - self._begin
            self._buffer[:rest] = bytes(self._buffer[self._begin : self._end])
            self._begin, self._end = 0, rest
        while self._end - self._begin < wanted and await self._receive():
            pass
        size = self._end - self._begin if n is None else min(wanted, self._end - self._begin)
        taken = bytes(self._buffer[self._begin : self._begin + size])
        self._begin += size
        if self._begin == self._end:
            self._begin = self._end = 0
        return taken

    @override
    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection closed while writing") from error
        self._meter.sent_bytes += len(data)

    @override
    async def close(self) -> None:
        await self._stream.aclose()

    def abort(self) -> None:
        """Close the socket at once; whoever reads or writes it gets an error."""
        self._stream.socket.close()

    @override
    def get_remote_address(self) -> tuple[str, int] | None:
        return self._remote

    async def _receive(self) -> int:
        try:
            size = await self._stream.socket.recv_into(self._buffer[self._end :])
        except (OSError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection closed while reading") from error
        self._end += size
        self._meter.received_bytes += size
        return size


def _remote_address(stream: trio.SocketStream) -> tuple[str, int] | None:
    try:
        host, port, *_ = stream.socket.getpeername()  # IPv6 has two fields more
    except OSError:
        return None  # the peer is gone already
    return str(host), int(port)
