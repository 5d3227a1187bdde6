"""The switches of the in-memory network, which other tests rely on."""

import pytest
import trio

from p2pfed.errors import TransportError
from p2pfed.node.payload_buffer import allocate
from p2pfed.testing.transport_lab import SHORT, linked, running, serve
from tests.node.transport.labs import MemoryLab

PAYLOAD = bytes(200_000)


async def test_broken_link_goes_down_on_both_sides() -> None:
    lab = MemoryLab()
    async with linked(lab) as (one, other), running(lab, 3) as third:
        await third.dial(one)
        await one.expect_up(third)
        lab.network.break_link(other.peer, one.peer)
        await one.expect_down(other)
        await other.expect_down(one)
        await one.dial(other)
        await one.expect_up(other)
        third.transport.send(one.peer, b"not affected")
        await third.expect_up(one)


async def test_nothing_passes_a_stalled_link(autojump_clock: trio.testing.MockClock) -> None:
    lab = MemoryLab()
    async with linked(lab, server=serve(PAYLOAD), limits=SHORT) as (one, other):
        with lab.network.stalled(one.peer, other.peer):
            one.transport.send(other.peer, b"held up")
            with pytest.raises(TransportError, match="stalled"):
                await one.transport.fetch(
                    other.peer, bytes(32), size_bytes=len(PAYLOAD), offset=0, sink=lambda _: None
                )
            assert autojump_clock.current_time() == pytest.approx(SHORT.idle_s)
            with trio.move_on_after(SHORT.idle_s) as scope:
                await anext(other.events)
            assert scope.cancelled_caught
        await other.expect_frame(one, b"held up")


async def test_corrupted_transfer_differs() -> None:
    lab = MemoryLab()
    received = bytearray()
    async with linked(lab, server=serve(PAYLOAD)) as (one, other):
        with lab.network.corrupting(other.peer):
            await one.transport.fetch(
                other.peer, bytes(32), size_bytes=len(PAYLOAD), offset=0, sink=received.extend
            )
    assert len(received) == len(PAYLOAD)
    assert received != PAYLOAD


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_payload_buffer_is_writable_zeros(size: int) -> None:
    buffer = allocate(size)
    assert len(buffer) == size
    assert not any(buffer[:100])
    buffer[:1] = b"x"[:size]
