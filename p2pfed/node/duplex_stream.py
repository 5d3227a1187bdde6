"""A libp2p stream with one kind of error, and cleaned up whatever happens."""

import logging
from typing import final

import trio
from libp2p.custom_types import TProtocol
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.network.stream.net_stream import NetStream
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from p2pfed.errors import TransportError

logger = logging.getLogger(__name__)

_RELEASE_S = 2.0  # for a last FIN or RST; the connection's own deadlines do the rest
_NEGOTIATE_S = 10  # the library's default for the other side


@final
class DuplexStream:
    """Bytes both ways; every failure is a TransportError."""

    def __init__(self, stream: NetStream) -> None:
        self._stream = stream

    async def read(self, size_max: int) -> bytes:
        """Return what is there, at least one byte, or nothing at the end.

        The end may be a reset in disguise: completeness shows in what was read, not here.
        """
        try:
            return await self._stream.read(size_max)
        except StreamEOF:
            return b""
        except StreamReset as error:
            raise TransportError("the stream was reset") from error
        except Exception as error:
            # The library raises what lies below it, too: ValueError, AttributeError, OSError.
            raise TransportError(f"reading failed: {describe(error)}") from error

    async def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes, which must be small: they are collected in memory."""
        collected = bytearray()
        while len(collected) < size:
            data = await self.read(size - len(collected))
            if not data:
                raise TransportError(f"stream ended after {len(collected)} of {size} bytes")
            collected += data
        return bytes(collected)

    async def write(self, data: bytes) -> None:
        """Send bytes; cancelling it loses the stream, but not the connection."""
        try:
            await self._stream.write(data)
        except StreamReset as error:
            raise TransportError("the stream was reset") from error
        except Exception as error:
            # As for `read`.
            raise TransportError(f"writing failed: {describe(error)}") from error

    async def finish(self) -> None:
        """Tell the peer that no more bytes follow."""
        try:
            await self._stream.close_write()
        except Exception as error:
            # As for `read`.
            raise TransportError(f"closing failed: {describe(error)}") from error

    async def release(self, *, clean: bool) -> None:
        """Close this side, or reset both if anything went wrong; never raises, even cancelled."""
        with trio.move_on_after(_RELEASE_S, shield=True):
            try:
                await (self._stream.close() if clean else self._stream.reset())
            except Exception as error:
                # The stream is gone either way.
                logger.debug("stream not released: %s", describe(error))


async def open_stream(connection: SwarmConn, protocol: TProtocol) -> DuplexStream:
    """Open a stream and agree on its protocol.

    Raises:
        TransportError: If the connection or the peer does not have it.
    """
    # Streams are opened on a connection, never by peer: the library would dial to find one.
    try:
        with trio.CancelScope(shield=True):  # half-opened ones would be lost; it is one header
            stream = await connection.new_stream()
    except Exception as error:
        # Edge of the library, as for `DuplexStream.read`.
        raise TransportError(f"no stream to the peer: {describe(error)}") from error
    is_open = False
    try:
        communicator = MultiselectCommunicator(stream)
        await MultiselectClient().select_one_of([protocol], communicator, _NEGOTIATE_S)
        is_open = True
    except Exception as error:
        # The same edge.
        raise TransportError(f"the peer does not speak {protocol}: {describe(error)}") from error
    finally:
        if not is_open:
            await DuplexStream(stream).release(clean=False)
    return DuplexStream(stream)


def describe(error: BaseException) -> str:
    """Return what went wrong at the root of an exception, for people."""
    while error.__cause__ is not None:
        error = error.__cause__
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
