"""`/p2pfed/payload/1`: one stream per transfer, pulled by content hash from an offset.

Request: 32 bytes of hash, 8 bytes of offset (big-endian). Answer: a status byte; 0 is followed by
8 bytes of total size and the payload from the offset on, 1 by one byte of length and a refusal
text. Both sides close; whoever is dissatisfied resets.
"""

import logging
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final, final

import trio
from libp2p.custom_types import TProtocol

from p2pfed.errors import LimitExceeded, SchemaError, TransportError
from p2pfed.identity import PeerId
from p2pfed.limits import HASH_BYTES
from p2pfed.node.connections import Connection
from p2pfed.node.duplex_stream import DuplexStream, open_stream
from p2pfed.node.transport import PayloadServer, PayloadSource, TransferRefused
from p2pfed.node.transport_limits import TransportLimits

logger = logging.getLogger(__name__)

PAYLOAD_PROTOCOL: Final = TProtocol("/p2pfed/payload/1")

_REQUEST = struct.Struct(f">{HASH_BYTES}sQ")
_SIZE = struct.Struct(">Q")
_SERVED, _REFUSED = 0, 1
_REFUSAL_BYTES_MAX = 255  # its length is one byte
_CHUNK_BYTES = 262_144  # one muxer frame, and one read of a payload on disk


def transfer_s_max(size_bytes: int, limits: TransportLimits) -> float:
    """Return how long a transfer of that many bytes may take altogether."""
    return limits.transfer_grace_s + size_bytes / limits.transfer_bytes_per_s_min


async def fetch(
    connection: Connection,
    content_hash: bytes,
    *,
    size_bytes: int,
    offset: int,
    sink: Callable[[bytes], None],
    limits: TransportLimits,
) -> None:
    """Receive a payload from the peer of a connection; see `Transport.fetch`."""
    try:
        with trio.fail_after(transfer_s_max(size_bytes - offset, limits)):
            with trio.fail_after(limits.idle_s):
                stream = await open_stream(connection.conn, PAYLOAD_PROTOCOL)
            is_clean = False
            try:
                await _request(stream, content_hash, size_bytes, offset, limits)
                await _receive(stream, size_bytes - offset, sink, limits)
                is_clean = True
            finally:
                await stream.release(clean=is_clean)
    except trio.TooSlowError:
        raise TransportError("the transfer is too slow or has stalled") from None


async def _request(
    stream: DuplexStream, content_hash: bytes, size_bytes: int, offset: int, limits: TransportLimits
) -> None:
    with trio.fail_after(limits.idle_s):
        await stream.write(_REQUEST.pack(content_hash, offset))
        (status,) = await stream.read_exactly(1)
        if status == _REFUSED:
            (length,) = await stream.read_exactly(1)
            text = (await stream.read_exactly(length)).decode("utf-8", "replace")
            raise TransferRefused(text)
        if status != _SERVED:
            raise SchemaError(f"payload answer has status {status}")
        (announced,) = _SIZE.unpack(await stream.read_exactly(_SIZE.size))
    if announced != size_bytes:
        raise SchemaError(f"payload of {announced} bytes is served, {size_bytes} were announced")


async def _receive(
    stream: DuplexStream, remaining: int, sink: Callable[[bytes], None], limits: TransportLimits
) -> None:
    total = remaining
    while remaining:
        with trio.fail_after(limits.idle_s):
            chunk = await stream.read(min(_CHUNK_BYTES, remaining))
        if not chunk:
            raise TransportError(f"transfer ended after {total - remaining} of {total} bytes")
        sink(chunk)
        remaining -= len(chunk)


@final
class PayloadService:
    """The serving side, with its bounds."""

    def __init__(self, serve: PayloadServer, limits: TransportLimits) -> None:
        self._serve = serve
        self._limits = limits
        self._uploads: Counter[PeerId] = Counter()

    async def on_stream(self, connection: Connection, stream: DuplexStream) -> None:
        """Answer one request.

        Raises:
            TransportError: If the stream breaks.
            LimitExceeded: If the request cannot be read.
        """
        limits = self._limits
        with trio.fail_after(limits.idle_s):
            request = await stream.read_exactly(_REQUEST.size)
        content_hash, offset = _REQUEST.unpack(request)
        peer = connection.peer
        is_busy = self._uploads[peer] >= limits.uploads_per_peer_max
        if is_busy or self._uploads.total() >= limits.uploads_max:
            await self._refuse(stream, "busy")
            return
        self._uploads[peer] += 1
        try:
            await self._answer(peer, stream, content_hash, offset)
        finally:
            self._uploads[peer] -= 1
            if not self._uploads[peer]:
                del self._uploads[peer]

    async def _answer(
        self, peer: PeerId, stream: DuplexStream, content_hash: bytes, offset: int
    ) -> None:
        with trio.fail_after(self._limits.answer_s):
            source = await self._serve(peer, content_hash, offset)
        if isinstance(source, str):
            await self._refuse(stream, source)
            return
        try:
            if offset > source.size_bytes:
                raise LimitExceeded(f"offset {offset} of a payload of {source.size_bytes} bytes")
            with trio.fail_after(transfer_s_max(source.size_bytes - offset, self._limits)):
                await self._send(stream, source, offset)
        finally:
            source.close()

    async def _send(self, stream: DuplexStream, source: PayloadSource, offset: int) -> None:
        head = bytes([_SERVED]) + _SIZE.pack(source.size_bytes)
        while True:
            size = min(_CHUNK_BYTES, source.size_bytes - offset)
            chunk = await source.read(offset, size)
            assert len(chunk) == size
            with trio.fail_after(self._limits.idle_s):
                await stream.write(head + chunk)
            head = b""
            offset += size
            if offset == source.size_bytes:
                break
        await self._see_off(stream)

    async def _refuse(self, stream: DuplexStream, text: str) -> None:
        reason = text.encode()[:_REFUSAL_BYTES_MAX]
        with trio.fail_after(self._limits.idle_s):
            await stream.write(bytes([_REFUSED, len(reason)]) + reason)
        await self._see_off(stream)

    async def _see_off(self, stream: DuplexStream) -> None:
        """Wait until the peer has read everything and closes, so that nothing of it is left."""
        await stream.finish()
        with trio.fail_after(self._limits.idle_s):
            if await stream.read(1):
                raise TransportError("more bytes after a payload request")
        await stream.release(clean=True)
