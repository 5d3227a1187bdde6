"""Our changes to how py-libp2p writes and is cancelled, with a test for the effect of each."""

from typing import Any

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux

from p2pfed.node import libp2p_muxer
from p2pfed.testing.transport_lab import WAIT_S, Node, linked, serve
from tests.node.transport.labs import LibP2PLab, swarm_of
from tests.node.transport.muxer_lab import PAYLOAD, fetch, make_muxer, make_stream


def muxer_under(node: Node) -> Any:
    (conn,) = swarm_of(node.transport).get_connections()
    return conn.muxed_conn


async def test_cancelled_write_is_whole_or_nothing() -> None:
    """A frame that has begun ends; one that waits for its turn may be given up, a header not."""
    written: list[bytes] = []
    gate = trio.Event()

    async def write(data: bytes) -> None:
        await gate.wait()
        written.append(data)

    muxer = make_muxer(write)
    scopes: list[trio.CancelScope] = []

    async def write_frame(scope: trio.CancelScope, data: bytes) -> None:
        with scope:
            await muxer._write_frame(data)

    async with trio.open_nursery() as nursery:
        for data in (b"begun" * 9, b"waits" * 9, b"header".ljust(yamux.HEADER_SIZE)):
            scope = trio.CancelScope()
            scopes.append(scope)
            nursery.start_soon(write_frame, scope, data)
            await trio.testing.wait_all_tasks_blocked()
        for scope in scopes:
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert written == [b"begun" * 9, b"header".ljust(yamux.HEADER_SIZE)]


@pytest.mark.net
async def test_connection_survives_cancelled_writes() -> None:
    """Stock: 23 of 40 connections were destroyed by a torn frame."""
    async with linked(LibP2PLab(), server=serve(PAYLOAD)) as (one, other):
        muxer = muxer_under(one)
        peer_id = ID.from_base58(other.identity.text)
        for turns in range(0, 40, 2):
            stream = await swarm_of(one.transport).new_stream(peer_id)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, bytes(1 << 20))
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            await stream.reset()
        assert muxer_under(one) is muxer
        assert not muxer.is_closed
        await fetch(one, other)


async def test_write_to_a_stuck_peer_ends(autojump_clock: trio.testing.MockClock) -> None:
    async def write(_data: bytes) -> None:
        await trio.sleep_forever()

    begin = autojump_clock.current_time()
    with pytest.raises(ConnectionClosedError, match="took no frame"):
        await make_muxer(write)._write_frame(bytes(100))
    assert autojump_clock.current_time() - begin == pytest.approx(libp2p_muxer.FRAME_WRITE_S)


async def test_too_many_streams_are_an_error() -> None:
    """Stock: the 257th waits for ever."""

    async def write(_data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    muxer = make_muxer(write)
    for _ in range(256):
        await muxer.open_stream()
    with pytest.raises(MuxedStreamError, match="too many streams"), trio.fail_after(WAIT_S):
        await muxer.open_stream()


async def test_closing_does_not_pause(autojump_clock: trio.testing.MockClock) -> None:
    """Stock sleeps for 0.1 s per connection; the peer is told either way."""
    written: list[bytes] = []
    stream = await make_stream(written)
    await stream.conn.close()
    assert stream.conn.is_closed
    assert written[-1][1] == yamux.TYPE_GO_AWAY
    assert autojump_clock.current_time() == 0.0


async def test_muxer_that_fails_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_self: yamux.Yamux) -> None:
        raise RuntimeError("of the library")

    monkeypatch.setattr(yamux.Yamux, "start", fail)
    muxer = make_muxer(fail)
    await muxer.start()
    assert muxer.is_closed
