"""Whatever one peer does, the links of the others go on."""

import contextlib
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamError
from multiaddr import Multiaddr

from p2pfed.errors import RemoteError, TransportError
from p2pfed.identity import PeerId
from p2pfed.node.control_protocol import CONTROL_PROTOCOL
from p2pfed.node.payload_protocol import PAYLOAD_PROTOCOL
from p2pfed.node.transport import (
    Frame,
    LinkDown,
    LinkEvent,
    LinkUp,
    Oversized,
    TransferRefused,
)
from p2pfed.node.transport_limits import TransportLimits
from p2pfed.testing.transport_lab import SHORT, WAIT_S, Node, expect, linked, running, serve
from p2pfed.testing.transport_link_checks import check_link_comes_up_once_on_both_sides
from tests.node.transport.labs import LibP2PLab, swarm_of
from tests.node.transport.strangers import (
    GREETING,
    Stranger,
    open_tcp,
    read_exactly,
    read_to_end,
    stranger,
)

pytestmark = pytest.mark.net

PAYLOAD = bytes(range(256)) * 4_000


@asynccontextmanager
async def honest_pair(limits: TransportLimits | None = None) -> AsyncIterator[tuple[Node, Node]]:
    """Run two linked nodes, and check at the end that they still hear and serve each other."""
    async with linked(LibP2PLab(), server=serve(PAYLOAD), limits=limits) as (one, other):
        yield one, other
        await check_alive(one, other)


async def check_alive(one: Node, other: Node) -> None:
    for sender, receiver in ((one, other), (other, one)):
        sender.transport.send(receiver.peer, b"alive")
        assert await next_event_of(receiver, sender.peer) == Frame(peer=sender.peer, data=b"alive")
    received = bytearray()
    with trio.fail_after(WAIT_S):
        await one.transport.fetch(
            other.peer, bytes(32), size_bytes=len(PAYLOAD), offset=0, sink=received.extend
        )
    assert received == PAYLOAD


async def next_event_of(node: Node, peer: PeerId) -> LinkEvent:
    """Return the next event of a peer, skipping those of others."""
    while (event := await node.next_event()).peer != peer:
        pass
    return event


async def wait_until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(WAIT_S):
        while not condition():
            await trio.lowlevel.checkpoint()


async def test_garbage_over_tcp() -> None:
    generator = random.Random(1)
    async with honest_pair() as (_, other):
        for size in (1, 20, 1_000, 100_000):
            stream = await open_tcp(other)
            async with stream:
                await send_ignoring_reset(stream, generator.randbytes(size))
                await send_ignoring_reset(stream, b"\x13/multistream/1.0.0\n\x07/noise\n")
                await send_ignoring_reset(stream, generator.randbytes(size))


async def test_silent_clients_do_not_lock_out_others() -> None:
    """A hundred connections that never shake hands, more than are allowed at a time."""
    async with honest_pair() as (one, other), trio.open_nursery() as nursery:
        silent: list[trio.SocketStream] = []

        async def connect() -> None:
            silent.append(await open_tcp(other))

        async with trio.open_nursery() as connecting:
            for _ in range(100):
                connecting.start_soon(connect)
        async with running(LibP2PLab(), 3) as third:
            await third.dial(other)
            await third.expect_up(other)
            await other.expect_up(third)
            await check_alive(one, other)
        await other.expect_down(third)
        for stream in silent:
            nursery.start_soon(stream.aclose)


async def test_silent_client_is_cut_off() -> None:
    async with honest_pair(SHORT) as (_, other), await open_tcp(other) as silent:
        with trio.fail_after(SHORT.handshake_s + WAIT_S):
            while await silent.receive_some(1_000):
                pass  # the offer of a protocol, then the end


async def test_hundreds_of_streams() -> None:
    """Streams that never agree on a protocol are bounded; the rest is reset at once."""
    async with honest_pair() as (_, other), stranger(other) as hostile:
        streams: list[INetStream] = []
        with trio.move_on_after(WAIT_S):
            for _ in range(255):
                streams.append(await hostile.open_bare())
        assert len(streams) > 200
        count_max = TransportLimits().streams_per_connection_max
        (muxed,) = [
            conn.muxed_conn
            for conn in swarm_of(other.transport).get_connections()
            if conn.muxed_conn.peer_id == hostile.host.get_id()
        ]
        await wait_until(lambda: len(muxed.streams) <= count_max)
        async with running(LibP2PLab(), 3) as third:
            await third.dial(other)
            await third.expect_up(other)
            await other.expect_up(third)


async def test_control_streams_without_end() -> None:
    """Greetings that never come, and a second one beside a link."""
    async with honest_pair() as (_, other), stranger(other) as hostile:
        for _ in range(20):
            await hostile.open(CONTROL_PROTOCOL)
        first = await hostile.open_control()
        await expect_up(other, hostile)
        second = await hostile.open(CONTROL_PROTOCOL)
        await second.write(struct.pack(">8sQ", b"stranger", 2))
        assert (await read_exactly(second, 17))[0] == 1  # one link per connection
        await first.write(struct.pack(">I", 5) + b"hello")
        frame = await next_event_of(other, hostile.peer)
        assert frame == Frame(peer=hostile.peer, data=b"hello")


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(struct.pack(">I", 0xFFFFFFFF), id="length of 4 GiB"),
        pytest.param(struct.pack(">I", 65_537) + bytes(1_000), id="length above the limit"),
        pytest.param(random.Random(2).randbytes(300_000), id="random bytes"),
    ],
)
async def test_garbage_on_control(garbage: bytes) -> None:
    async with honest_pair() as (_, other), stranger(other) as hostile:
        stream = await hostile.open_control()
        await expect_up(other, hostile)
        with contextlib.suppress(StreamError):  # cut off before it is all written
            await stream.write(garbage)
        assert isinstance(await next_event_of(other, hostile.peer), Oversized)
        assert isinstance(await next_event_of(other, hostile.peer), LinkDown)
        await read_to_end(stream)


async def test_half_a_frame_then_the_end() -> None:
    async with honest_pair() as (_, other), stranger(other) as hostile:
        stream = await hostile.open_control()
        await expect_up(other, hostile)
        await stream.write(struct.pack(">I", 100) + b"half")
        await stream.close()
        down = await next_event_of(other, hostile.peer)
        assert isinstance(down, LinkDown)
        assert "middle of a frame" in down.reason


async def test_half_a_greeting() -> None:
    async with honest_pair(SHORT) as (_, other), stranger(other) as hostile:
        stream = await hostile.open(CONTROL_PROTOCOL)
        await stream.write(GREETING[:5])
        assert await read_to_end(stream) == b""  # reset after the deadline, no event


async def test_unknown_protocol() -> None:
    async with honest_pair() as (_, other), stranger(other) as hostile:
        for name in ("/unknown/1", "/ipfs/ping/1.0.0", "/ipfs/id/push/1.0.0", ""):
            with pytest.raises(Exception, match="failed to open a stream"):
                await hostile.open(name)


async def test_protocol_name_that_is_not_text() -> None:
    """The library decodes it and lets the exception out of the host."""
    async with honest_pair() as (_, other), stranger(other) as hostile:
        stream = await hostile.open_bare()
        await stream.write(b"\x13/multistream/1.0.0\n" + b"\x05\xff\xfe\xfd\xfc\n")
        await read_to_end(stream)


async def test_identify_is_answered() -> None:
    """Other implementations ask who we are; we answer and believe nothing in return."""
    async with honest_pair() as (_, other), stranger(other) as hostile:
        answer = await read_to_end(await hostile.open("/ipfs/id/1.0.0"))
        assert CONTROL_PROTOCOL.encode() in answer
        assert b"127.0.0.1" not in answer


async def test_payload_streams_that_are_never_read() -> None:
    """Each holds an upload slot of that peer, until it is full; others are served."""
    async with honest_pair() as (_, other), stranger(other) as hostile:
        for _ in range(TransportLimits().uploads_per_peer_max):
            stream = await hostile.open_payload()
            await stream.write(bytes(32) + struct.pack(">Q", 0))
            assert (await read_exactly(stream, 9))[0] == 0
        refused = await hostile.open_payload()
        await refused.write(bytes(32) + struct.pack(">Q", 0))
        assert await read_exactly(refused, 6) == b"\x01\x04busy"


async def test_payload_request_beyond_the_end() -> None:
    async with honest_pair() as (_, other), stranger(other) as hostile:
        stream = await hostile.open_payload()
        await stream.write(bytes(32) + struct.pack(">Q", 2**64 - 1))
        assert await read_to_end(stream) == b""


async def test_more_bytes_than_the_window() -> None:
    """A sender that ignores flow control is cut off before it fills the memory."""
    async with honest_pair() as (_, other), stranger(other) as hostile:
        stream = await hostile.open_payload()  # nobody reads more than 40 bytes of it
        stream.muxed_stream.send_window = 1 << 40  # type: ignore[attr-defined]
        with contextlib.suppress(StreamError), trio.fail_after(WAIT_S):
            while True:
                await stream.write(bytes(1 << 20))
        await wait_until(lambda: not connections_of(other, hostile))


async def test_many_connections_of_one_peer() -> None:
    async with honest_pair() as (_, other), stranger(other) as hostile:
        swarm = hostile.host.get_network()
        address = hostile.target.addresses[0]
        for _ in range(12):
            with trio.fail_after(WAIT_S):
                await swarm.dial_addr(Multiaddr(address), hostile._target_id)  # type: ignore[attr-defined]
        per_peer = TransportLimits().connections_per_peer_max
        await wait_until(lambda: len(connections_of(other, hostile)) <= per_peer)


async def test_connections_that_do_nothing_make_room() -> None:
    """A full house of idle strangers: the next one is let in, at the cost of an idle one."""
    limits = TransportLimits(connections_max=3)
    async with (
        honest_pair(limits) as (_, other),
        stranger(other, 201),
        stranger(other, 202),
        stranger(other, 203),
        stranger(other, 204) as last,
    ):
        await last.open_control()
        await expect_up(other, last)
        inbound = other.transport._connections._inbound  # type: ignore[attr-defined]
        await wait_until(lambda: len(inbound) <= 3)


async def test_idle_connection_is_closed() -> None:
    limits = TransportLimits(unlinked_s=0.2)
    async with honest_pair(limits) as (_, other), stranger(other) as hostile:
        await wait_until(lambda: not hostile.connections)


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        pytest.param(b"\x07", RemoteError, id="unknown status"),
        pytest.param(b"\x00" + struct.pack(">Q", 2**63), RemoteError, id="size of 8 EiB"),
        pytest.param(b"\x01\x02\xff\xfe", TransferRefused, id="refusal that is not text"),
        pytest.param(b"\x01\xffshort", TransportError, id="refusal that ends early"),
        pytest.param(b"", TransportError, id="nothing"),
        pytest.param(b"\x00" + struct.pack(">Q", 10) + b"123", TransportError, id="too few bytes"),
    ],
)
async def test_hostile_payload_server(answer: bytes, error_type: type[Exception]) -> None:
    async with honest_pair(SHORT) as (one, _), stranger(one) as hostile:

        async def serve_badly(stream: INetStream) -> None:
            await read_exactly(stream, 40)
            await stream.write(answer)
            await stream.close()

        await link_with(one, hostile)
        hostile.host.set_stream_handler(PAYLOAD_PROTOCOL, serve_badly)
        await expect(error_type, partial(fetch_ten, one, hostile.peer))


async def test_payload_server_that_sends_too_much() -> None:
    """What was agreed is taken, the rest is cut off."""
    async with honest_pair() as (one, _), stranger(one) as hostile:

        async def serve_for_ever(stream: INetStream) -> None:
            await read_exactly(stream, 40)
            await stream.write(b"\x00" + struct.pack(">Q", 10) + bytes(100_000))
            await read_to_end(stream)

        await link_with(one, hostile)
        hostile.host.set_stream_handler(PAYLOAD_PROTOCOL, serve_for_ever)
        assert await fetch_ten(one, hostile.peer) == bytes(10)


async def test_payload_server_that_drips() -> None:
    """A byte now and then stays below every idle deadline, not below the one for the whole."""
    limits = TransportLimits(transfer_grace_s=0.5, transfer_bytes_per_s_min=1e6)
    async with honest_pair(limits) as (one, _), stranger(one) as hostile:

        async def drip(stream: INetStream) -> None:
            await read_exactly(stream, 40)
            await stream.write(b"\x00" + struct.pack(">Q", 10) + b"1")
            with trio.move_on_after(WAIT_S):
                await read_to_end(stream)

        await link_with(one, hostile)
        hostile.host.set_stream_handler(PAYLOAD_PROTOCOL, drip)
        begin = trio.current_time()
        await expect(TransportError, partial(fetch_ten, one, hostile.peer))
        assert trio.current_time() - begin < 3.0


async def test_links_work_after_all_of_it() -> None:
    """The plain check passes in a process that has seen the above."""
    await check_link_comes_up_once_on_both_sides(LibP2PLab())


async def expect_up(node: Node, hostile: Stranger) -> None:
    assert isinstance(await next_event_of(node, hostile.peer), LinkUp)


async def link_with(node: Node, hostile: Stranger) -> None:
    await hostile.open_control()
    await expect_up(node, hostile)


async def fetch_ten(node: Node, peer: PeerId) -> bytes:
    received = bytearray()
    await node.transport.fetch(peer, bytes(32), size_bytes=10, offset=0, sink=received.extend)
    return bytes(received)


def connections_of(node: Node, hostile: Stranger) -> list[object]:
    return list(swarm_of(node.transport).get_connections(hostile.host.get_id()))


async def send_ignoring_reset(stream: trio.SocketStream, data: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):  # cut off already, as it should be
        await stream.send_all(data)
