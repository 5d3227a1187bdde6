"""The two labs of the transport suite: in memory and over libp2p on loopback."""

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from p2pfed.identity import Identity, PeerId
from p2pfed.node import libp2p_muxer
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.node.memory_network import MemoryNetwork
from p2pfed.node.memory_transport import MemoryTransport
from p2pfed.node.transport import Transport
from p2pfed.node.transport_limits import TransportLimits
from p2pfed.testing.transport_lab import TransportLab

LISTEN = "/ip4/127.0.0.1/tcp/0"


class MemoryLab(TransportLab):
    def __init__(self) -> None:
        self.network = MemoryNetwork()

    def make(self, identity: Identity, limits: TransportLimits) -> Transport:
        return MemoryTransport(self.network, identity, limits=limits)

    def addresses(self, transport: Transport) -> Sequence[str]:
        return transport.addresses()

    def dead_address(self) -> str:
        return "/memory/0"

    @asynccontextmanager
    async def silent_address(self) -> AsyncIterator[str]:
        with self.network.silent_address() as address:
            yield address

    async def vanish(self, transport: Transport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.network.vanish(transport.peer)

    async def announce_oversized(self, sender: Transport, receiver: PeerId, size: int) -> None:
        assert isinstance(sender, MemoryTransport)
        self.network.inject_oversized(sender.peer, receiver, size)


class LibP2PLab(TransportLab):
    def make(self, identity: Identity, limits: TransportLimits) -> Transport:
        return LibP2PTransport(identity, listen=[LISTEN], limits=limits)

    def make_at(self, identity: Identity, listen: str) -> LibP2PTransport:
        return LibP2PTransport(identity, listen=[listen])

    def addresses(self, transport: Transport) -> Sequence[str]:
        return transport.loopback_addresses()

    def dead_address(self) -> str:
        return "/ip4/127.0.0.1/tcp/1"  # nobody listens on the lowest port

    @asynccontextmanager
    async def silent_address(self) -> AsyncIterator[str]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, say_nothing, 0)
            yield f"/ip4/127.0.0.1/tcp/{listeners[0].socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()

    async def vanish(self, transport: Transport) -> None:
        for conn in swarm_of(transport).get_connections():
            libp2p_muxer.abort(conn.muxed_conn)

    async def announce_oversized(self, sender: Transport, receiver: PeerId, size: int) -> None:
        assert isinstance(sender, LibP2PTransport)
        link: Any = sender._links.get(receiver)
        await link.connection._stream.write(struct.pack(">I", size))


def swarm_of(transport: Transport) -> Any:
    """Return the library's swarm under a running transport."""
    assert isinstance(transport, LibP2PTransport)
    assert transport._connections is not None
    return transport._connections._swarm


async def say_nothing(_stream: trio.SocketStream) -> None:
    await trio.sleep_forever()
