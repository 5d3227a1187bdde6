"""Our changes to how py-libp2p reads, with a test for the effect of each."""

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import ConnectionClosedError

from p2pfed.node.metered_stream import Meter, MeteredStream


async def test_messages_in_small_pieces_are_read() -> None:
    """Stock gives up after 101 partial reads."""
    near, far = await make_socket_pair()
    meter = Meter()
    reader = MeteredStream(near, meter)
    data = bytes(range(200))

    async def drip() -> None:
        for value in data:
            await far.send_all(bytes([value]))
            await trio.testing.wait_all_tasks_blocked()

    async with near, far, trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        assert await reader.read(len(data)) == data
    assert meter.received_bytes == len(data)


async def test_reads_of_all_sizes_join_up() -> None:
    near, far = await make_socket_pair()
    reader = MeteredStream(near, Meter())
    data = bytes(range(251)) * 2_000
    received = bytearray()

    async def send() -> None:
        await far.send_all(data)
        await far.aclose()

    async with near, far, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        for size in (None, 1, 2, 65_535, 131_072, 200_000, 2, None, 100_000, 300_000):
            received += await reader.read(size)
        assert await reader.read(1) == b""
    assert received == data


async def test_aborted_stream_raises_in_reader_and_writer() -> None:
    near, far = await make_socket_pair()
    stream = MeteredStream(near, Meter())

    async def read() -> None:
        with pytest.raises(ConnectionClosedError):
            await stream.read(1)

    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        stream.abort()
    with pytest.raises(ConnectionClosedError):
        await stream.write(b"x")


async def make_socket_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        far = await trio.open_tcp_stream("127.0.0.1", port)
        return await listener.accept(), far
