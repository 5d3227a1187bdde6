"""Our changes to py-libp2p's stream windows, with a test for the effect of each."""

import pytest
import trio
import trio.testing
from libp2p.stream_muxer.exceptions import MuxedStreamError

from p2pfed.node import libp2p_muxer
from tests.node.transport.muxer_lab import make_stream, pass_time


async def test_writer_waits_for_a_slow_reader(autojump_clock: trio.testing.MockClock) -> None:
    """Stock gives up after 5 s, and polls every 10 ms."""
    written: list[bytes] = []
    stream = await make_stream(written)
    stream.send_window = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.write, b"late")
        await pass_time(20.0)
        stream.send_window += 4
    assert autojump_clock.current_time() == pytest.approx(20.0, abs=0.001)
    assert written[-1].endswith(b"late")


async def test_writer_gives_a_dead_reader_up(autojump_clock: trio.testing.MockClock) -> None:
    stream = await make_stream([])
    stream.send_window = 0
    with pytest.raises(MuxedStreamError, match="no window"):
        await stream.write(b"never")
    assert autojump_clock.current_time() < libp2p_muxer.WINDOW_WAIT_S + 1.0


async def test_writer_notices_the_end(autojump_clock: trio.testing.MockClock) -> None:
    stream = await make_stream([])
    stream.send_window = 0
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(MuxedStreamError):
                await stream.write(b"never")

        nursery.start_soon(write)
        await pass_time(1.0)
        stream.closed = True
    assert autojump_clock.current_time() < 2.0


async def test_receive_window_stops_growing() -> None:
    """Stock grows to 16 MiB, and grants more than it then accepts."""
    stream = await make_stream([])
    for _ in range(30):
        stream.recv_window = 0
        await stream._auto_tune_and_send_window_update()
    assert stream.target_recv_window == libp2p_muxer.WINDOW_BYTES_MAX
    assert stream.recv_window <= 2 * libp2p_muxer.WINDOW_BYTES_MAX


async def test_window_updates_are_few() -> None:
    """Stock tells of every read."""
    written: list[bytes] = []
    stream = await make_stream(written)
    written.clear()
    for _ in range(32):  # half a window, received and read at once
        stream.recv_window -= 4_096
        await stream._auto_tune_and_send_window_update(bytes_read=4_096)
    assert len(written) == 1


async def test_receive_window_is_enforced() -> None:
    """Stock logs a warning and keeps what it was sent."""
    stream = await make_stream([])
    buffer = stream.conn.stream_buffers[stream.stream_id]
    buffer.extend(bytes(stream.target_recv_window))
    buffer.extend(bytes(stream.target_recv_window))  # the library's own slack
    with pytest.raises(trio.TooSlowError):  # what makes the muxer hang up
        buffer.extend(bytes(2 * stream.target_recv_window))
