"""What the tests of our changes inside py-libp2p share: a muxer without a network, a long fetch."""

from typing import Any

import trio
import trio.testing
from libp2p.peer.id import ID

from p2pfed.node import libp2p_compat as compat
from p2pfed.node import libp2p_muxer
from p2pfed.testing.transport_lab import WAIT_S, Node

PAYLOAD = bytes(range(256)) * 16_384  # 4 MiB


def make_muxer(write: Any) -> libp2p_muxer.HardenedYamux:
    """Return a muxer on a connection that only writes."""

    class Connection:
        is_initiator = True

        async def write(self, data: bytes) -> None:
            await write(data)

    return libp2p_muxer.HardenedYamux(Connection(), ID(b"peer"))


async def pass_time(duration_s: float) -> None:
    """Let the autojump clock pass that much time."""
    with trio.move_on_after(duration_s):
        await trio.sleep_forever()


async def fetch(node: Node, server: Node) -> None:
    received = bytearray()
    with trio.fail_after(WAIT_S):
        await node.transport.fetch(
            server.peer, bytes(32), size_bytes=len(PAYLOAD), offset=0, sink=received.extend
        )
    assert received == PAYLOAD


async def make_stream(written: list[bytes]) -> libp2p_muxer.PatientStream:
    async def write(data: bytes) -> None:
        written.append(data)
        await trio.lowlevel.checkpoint()

    compat.apply()
    stream = await make_muxer(write).open_stream()
    assert isinstance(stream, libp2p_muxer.PatientStream)
    return stream
