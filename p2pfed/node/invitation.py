"""How a newcomer learns what a run agrees on: from a member, before it has a run of its own."""

from collections.abc import AsyncIterator
from typing import Final

import trio
from blake3 import blake3

from p2pfed.config.assembly import Agreement
from p2pfed.errors import ConfigError, FrameError, LocalError, TransportError
from p2pfed.identity import Identity, PeerId, format_peer_id
from p2pfed.limits import GENESIS_BYTES_MAX
from p2pfed.messages import Goodbye, Hello
from p2pfed.node.addresses import parse_address
from p2pfed.node.libp2p_transport import LibP2PTransport
from p2pfed.node.transport import (
    Frame,
    LinkDown,
    LinkEvent,
    PayloadSource,
    TransferRefused,
    Transport,
)
from p2pfed.wire import frames
from p2pfed.wire import genesis as genesis_format

_ANSWER_S: Final = 30.0  # guess: dialing may take 10 s, 4 MiB at 200 kB/s take 20 s


async def fetch_agreement(address: str, *, transport: Transport | None = None) -> Agreement:
    """Ask a member of a run for the run's genesis.

    The member is known by the PeerID in its address, and the document by its hash, so that nobody
    in between can change it. Which run the member is in, only the member says.

    Args:
        address: Multiaddress of the member, ending in its PeerID.
        transport: The network; by default libp2p under an identity for this once.

    Raises:
        ConfigError: If the address cannot be used.
        TransportError: If the member cannot be reached, or does not answer in time.
        RemoteError: If what it sends is not a genesis.
    """
    peer = _member(address)
    network = transport or LibP2PTransport(Identity.create(), listen=[])
    with trio.move_on_after(_ANSWER_S):
        async with network.run(_serve_nothing):
            await network.dial(peer, [address])
            hello = await _hello(network.events(), peer)
            encoded = await _fetch(network, peer, hello)
            return Agreement.of(genesis_format.decode(encoded))
    raise TransportError(f"{address} did not answer within {_ANSWER_S:.0f} s; try another member")


def _member(address: str) -> PeerId:
    fix = "write a member's address as `p2pfed node run` prints it: /ip4/…/tcp/…/p2p/<PeerID>"
    try:
        peer = parse_address(address).peer
    except LocalError as error:
        raise ConfigError("from", address, fix) from error
    if peer is None:
        raise ConfigError("from", address, fix)
    return peer


async def _serve_nothing(_peer: PeerId, _content_hash: bytes, _offset: int) -> PayloadSource | str:
    return "a newcomer holds nothing"


async def _hello(events: AsyncIterator[LinkEvent], peer: PeerId) -> Hello:
    """Return the first message, with which members greet everybody."""
    async for event in events:
        match event:
            case Frame(peer=sender, data=data) if sender == peer:
                message = frames.decode(data)
                if isinstance(message, Hello):
                    return message
                if isinstance(message, Goodbye):
                    raise TransportError(f"{format_peer_id(peer)} says goodbye: {message.text}")
            case LinkDown(peer=sender, reason=reason) if sender == peer:
                raise TransportError(f"{format_peer_id(peer)} closed the connection: {reason}")
            case _:
                continue
    raise TransportError(f"the connection to {format_peer_id(peer)} has ended")


async def _fetch(network: Transport, peer: PeerId, hello: Hello) -> bytes:
    assert hello.genesis_bytes <= GENESIS_BYTES_MAX  # the schema of Hello says so
    received = bytearray()
    try:
        await network.fetch(
            peer, hello.run_id, size_bytes=hello.genesis_bytes, offset=0, sink=received.extend
        )
    except TransferRefused as error:
        raise TransportError(
            f"{format_peer_id(peer)} does not serve its genesis: {error}"
        ) from error
    if blake3(received).digest() != hello.run_id:
        raise FrameError(
            f"the genesis of {format_peer_id(peer)} has not the hash that it announced"
        )
    return bytes(received)
