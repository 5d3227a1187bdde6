"""Peers that speak libp2p by themselves, so that they can break our protocols."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import libp2p
import trio
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID, Transport
from multiaddr import Multiaddr

from p2pfed.identity import Identity
from p2pfed.node.addresses import parse_address
from p2pfed.node.control_protocol import CONTROL_PROTOCOL
from p2pfed.node.payload_protocol import PAYLOAD_PROTOCOL
from p2pfed.testing.transport_lab import WAIT_S, Node
from tests.node.transport.labs import LISTEN

GREETING = struct.pack(">8sQ", b"stranger", 1)


class Stranger:
    """A stock host that is connected to a node of ours."""

    def __init__(self, host: BasicHost, identity: Identity, target: Node) -> None:
        self.host = host
        self.identity = identity
        self.peer = identity.peer
        self.target = target
        self._target_id = info_from_p2p_addr(Multiaddr(target.addresses[0])).peer_id

    @property
    def addresses(self) -> list[str]:
        return [str(address) for address in self.host.get_addrs()]

    async def open(self, protocol: str) -> INetStream:
        with trio.fail_after(WAIT_S):
            return await self.host.new_stream(self._target_id, [protocol])  # type: ignore[list-item]

    async def open_control(self) -> INetStream:
        """Open a control stream and be accepted."""
        stream = await self.open(CONTROL_PROTOCOL)
        await stream.write(GREETING)
        assert (await read_exactly(stream, 17))[0] == 0
        return stream

    async def open_payload(self) -> INetStream:
        return await self.open(PAYLOAD_PROTOCOL)

    async def open_bare(self) -> Any:
        """Open a muxer stream on which no protocol has been agreed."""
        return await self.host.get_network().new_stream(self._target_id)

    @property
    def connections(self) -> list[Any]:
        return self.host.get_network().get_connections(self._target_id)


@asynccontextmanager
async def stranger(target: Node, seed: int = 200) -> AsyncIterator[Stranger]:
    """Run a stock py-libp2p host, connected to a node."""
    seed_bytes = bytes([seed]) * 32
    keys = create_new_key_pair(seed_bytes)
    noise = Transport(keys, noise_privkey=create_noise_key_pair().private_key)
    listen = [Multiaddr(LISTEN)]
    host = libp2p.new_host(key_pair=keys, listen_addrs=listen, sec_opt={PROTOCOL_ID: noise})
    assert isinstance(host, BasicHost)
    host.get_network().set_resource_manager(None)  # type: ignore[attr-defined]  # no scruples
    async with host.run(listen_addrs=listen):
        try:
            with trio.fail_after(WAIT_S):
                # Without the quarter of a second that `host.connect` always takes.
                info = info_from_p2p_addr(Multiaddr(target.addresses[0]))
                await host.get_network().dial_addr(info.addrs[0], info.peer_id)  # type: ignore[attr-defined]
            yield Stranger(host, Identity(seed_bytes), target)
        finally:
            with trio.move_on_after(3, shield=True):
                await host.close()


async def read_exactly(stream: INetStream, size: int) -> bytes:
    received = b""
    with trio.fail_after(WAIT_S):
        while len(received) < size:
            received += await stream.read(size - len(received))
    return received


async def read_to_end(stream: INetStream) -> bytes:
    """Read until the other side closes or resets; either is an end."""
    received = b""
    with trio.fail_after(WAIT_S):
        while True:
            try:
                data = await stream.read(65_536)
            except Exception:
                return received  # the library has many ways to say so
            if not data:
                return received
            received += data


async def open_tcp(target: Node) -> trio.SocketStream:
    address = parse_address(target.addresses[0])
    return await trio.open_tcp_stream(address.host, address.port)
