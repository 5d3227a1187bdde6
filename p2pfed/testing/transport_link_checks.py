"""Checks of links and control frames; each takes a lab and raises AssertionError."""

from contextlib import AsyncExitStack
from functools import partial

import trio

from p2pfed.errors import LocalError, TransportError
from p2pfed.identity import Identity, format_peer_id
from p2pfed.limits import FRAME_BYTES_MAX
from p2pfed.node.transport import Frame
from p2pfed.node.transport_limits import TransportLimits
from p2pfed.testing.transport_lab import (
    SHORT,
    WAIT_S,
    Node,
    TransportLab,
    expect,
    linked,
    running,
)


async def check_link_comes_up_once_on_both_sides(lab: TransportLab) -> None:
    """A dial makes one LinkUp here and there, and a second dial changes nothing."""
    async with linked(lab) as (one, other):
        await one.dial(other)
        await other.dial(one)
        await _exchange(one, other)


async def check_frames_keep_their_order(lab: TransportLab) -> None:
    """A thousand frames of mixed sizes each way arrive whole and in order."""
    frames = [bytes([number % 251]) * (number % 97) for number in range(1_000)]

    async def receive(node: Node, sender: Node) -> None:
        for frame in frames:
            await node.expect_frame(sender, frame)

    async with linked(lab) as (one, other), trio.open_nursery() as nursery:
        for frame in frames:
            one.transport.send(other.peer, frame)
            other.transport.send(one.peer, frame)
        nursery.start_soon(receive, one, other)
        nursery.start_soon(receive, other, one)


async def check_largest_frame_passes_and_larger_does_not(lab: TransportLab) -> None:
    """FRAME_BYTES_MAX is the largest frame; one byte more is refused where it is sent."""
    largest = bytes(range(256)) * (FRAME_BYTES_MAX // 256)
    async with linked(lab) as (one, other):
        one.transport.send(other.peer, largest)
        await other.expect_frame(one, largest)
        try:
            one.transport.send(other.peer, largest + b"x")
        except LocalError:
            await _exchange(one, other)
        else:
            raise AssertionError("a frame above the limit was taken")


async def check_oversized_frame_ends_the_link(lab: TransportLab) -> None:
    """A peer that announces a larger frame is reported and disconnected, others are not."""
    async with linked(lab) as (one, other), running(lab, 3) as third:
        await third.dial(other)
        await third.expect_up(other)
        await other.expect_up(third)
        await lab.announce_oversized(one.transport, other.peer, FRAME_BYTES_MAX + 1)
        assert await other.expect_oversized(one) == FRAME_BYTES_MAX + 1
        assert str(FRAME_BYTES_MAX) in await other.expect_down(one)
        await one.expect_down(other)
        await _exchange(third, other)


async def check_full_queue_ends_the_link(lab: TransportLab) -> None:
    """A peer that does not keep up is disconnected, with a reason, and no frame is skipped."""
    limits = TransportLimits(queue_frames_max=8)
    async with linked(lab, limits=limits) as (one, other):
        for number in range(9):  # without a checkpoint nothing leaves the queue
            one.transport.send(other.peer, bytes([number]))
        assert "queue is full" in await one.expect_down(other)
        await other.wait_down(one)
        one.transport.send(other.peer, b"dropped, there is no link")
        await one.dial(other)
        await one.expect_up(other)
        await other.expect_up(one)
        await _exchange(one, other)


async def check_bytes_in_the_queue_are_bounded(lab: TransportLab) -> None:
    """Few large frames overflow a queue, too."""
    async with linked(lab, limits=TransportLimits(queue_bytes_max=200_000)) as (one, other):
        for _ in range(4):
            one.transport.send(other.peer, bytes(60_000))
        assert "queue is full" in await one.expect_down(other)
        await other.wait_down(one)


async def check_slow_consumer_loses_nothing(lab: TransportLab) -> None:
    """Frames wait, here or there, until the consumer takes them."""
    frames = [number.to_bytes(2, "big") * 500 for number in range(2_000)]
    async with linked(lab, limits=TransportLimits(events_max=1)) as (one, other):
        for frame in frames:
            one.transport.send(other.peer, frame)
        other.transport.send(one.peer, b"the other direction flows")
        await one.expect_frame(other, b"the other direction flows")
        for frame in frames:
            await other.expect_frame(one, frame)


async def check_simultaneous_dials_make_one_link(lab: TransportLab) -> None:
    """Both dial at once: each sees one LinkUp and frames of the other, and no LinkDown.

    One of them starts later by more and more turns of the scheduler, so that the two dials meet at
    each of their stages.
    """

    async def dial_later(node: Node, other: Node, turns: int) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        await node.dial(other)

    async with running(lab, 1) as one, running(lab, 2) as other:
        for turns in range(0, 200, 5):
            for early, late in ((one, other), (other, one)):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(early.dial, late)
                    nursery.start_soon(dial_later, late, early, turns)
                    nursery.start_soon(early.dial, late)
                await early.expect_up(late)
                await late.expect_up(early)
                for _ in range(2):
                    await _exchange(one, other)
                await early.transport.disconnect(late.peer)
                await early.expect_down(late)
                await late.expect_down(early)


async def check_disconnect_is_seen_and_redial_works(lab: TransportLab) -> None:
    """Both sides hear of the end of a link, and either dials again at once."""
    async with linked(lab) as (one, other):
        for dialer, listener in ((one, other), (other, one)) * 2:
            await dialer.transport.disconnect(listener.peer)
            await dialer.expect_down(listener)
            await listener.expect_down(dialer)
            await dialer.dial(listener)
            await dialer.expect_up(listener)
            await listener.expect_up(dialer)
            await _exchange(one, other)


async def check_disconnect_sends_what_is_queued(lab: TransportLab) -> None:
    """The frames before a disconnect arrive."""
    async with linked(lab) as (one, other):
        for number in range(100):
            one.transport.send(other.peer, bytes([number]) * 1_000)
        await one.transport.disconnect(other.peer)
        for number in range(100):
            await other.expect_frame(one, bytes([number]) * 1_000)
        await other.expect_down(one)
        await one.expect_down(other)
        await one.transport.disconnect(other.peer)  # nothing happens without a link


async def check_dial_fails_where_nobody_listens(lab: TransportLab) -> None:
    """A dead address is named with its reason, and costs no later dial."""
    dead = lab.dead_address()
    async with running(lab, 1) as one, running(lab, 2) as other:
        error = await expect(TransportError, lambda: one.transport.dial(other.peer, [dead]))
        assert dead.split("/p2p/")[0] in str(error)
        await one.transport.dial(other.peer, [dead, *other.addresses])
        await one.expect_up(other)


async def check_dial_fails_where_another_peer_listens(lab: TransportLab) -> None:
    """An address must lead to the peer that was asked for."""
    stranger = Identity(bytes([9]) * 32)
    async with running(lab, 1) as one, running(lab, 2) as other:
        addresses = [address.split("/p2p/")[0] for address in other.addresses]
        dial = partial(one.transport.dial, stranger.peer, addresses)
        error = await expect(TransportError, dial)
        assert addresses[0] in str(error)
        assert format_peer_id(stranger.peer) in str(error)
        await one.dial(other)  # the failure is the stranger's, not the address's
        await one.expect_up(other)


async def check_dial_fails_where_somebody_is_silent(lab: TransportLab) -> None:
    """A server that never speaks costs the dial deadline and no more."""
    async with (
        running(lab, 1, limits=SHORT) as one,
        running(lab, 2, limits=SHORT) as other,
        lab.silent_address() as silent,
    ):
        begin = trio.current_time()
        error = await expect(TransportError, lambda: one.transport.dial(other.peer, [silent]))
        assert trio.current_time() - begin < SHORT.dial_s + SHORT.greeting_s + 1.0
        assert silent.split("/p2p/")[0] in str(error)
        await one.transport.dial(other.peer, [silent, *other.addresses])
        await one.expect_up(other)


async def check_dial_fails_without_a_usable_address(lab: TransportLab) -> None:
    """None, nonsense, another peer's address, or one's own: each is a TransportError."""
    async with running(lab, 1) as one, running(lab, 2) as other:
        nonsense = ["", "nonsense", "/ip4/1.2.3/tcp/4", "/ip4/0.0.0.0/tcp/1", "/tcp/\x00/\ud800"]
        for addresses in ([], nonsense, one.addresses):
            await expect(TransportError, partial(one.transport.dial, other.peer, addresses))
        await expect(TransportError, partial(one.transport.dial, one.peer, one.addresses))
        await one.transport.dial(other.peer, [*nonsense, *other.addresses])
        await one.expect_up(other)


async def check_restarted_peer_replaces_its_link(lab: TransportLab) -> None:
    """A peer that forgot its link dials again: LinkDown, then LinkUp, then new frames."""
    async with running(lab, 1) as one, running(lab, 2) as before:
        await before.dial(one)
        await one.expect_up(before)
        async with running(lab, 2) as after:
            await after.dial(one)
            await one.expect_down(before)
            await one.expect_up(after)
            await after.expect_up(one)
            await _exchange(one, after)


async def check_vanished_peer_goes_down(lab: TransportLab) -> None:
    """The end of a connection without a word is seen at once, and nobody else suffers."""
    async with linked(lab) as (one, other), running(lab, 3) as third:
        await third.dial(one)
        await one.expect_up(third)
        await third.expect_up(one)
        await lab.vanish(other.transport)
        await one.expect_down(other)
        await _exchange(one, third)


async def check_closing_is_quick(lab: TransportLab) -> None:
    """Leaving `run` takes less than 3 s with open links, and ends the events."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(running(lab, seed)) for seed in range(2, 8)]
        async with running(lab, 1) as hub:
            for other in others:
                await other.dial(hub)
                await other.expect_up(hub)
            begin = trio.current_time()
        assert trio.current_time() - begin < 3.0
        for other in others:
            await other.expect_down(hub)
        with trio.fail_after(WAIT_S):
            remaining = [event async for event in hub.events]
        assert not any(isinstance(event, Frame) for event in remaining)


async def check_exception_of_the_body_passes_unchanged(lab: TransportLab) -> None:
    """What the block raises comes out as it is, not in a group."""
    error = ValueError("of the body")

    async def fail() -> None:
        async with linked(lab):
            raise error

    assert await expect(ValueError, fail) is error


async def check_cancelling_the_body_closes(lab: TransportLab) -> None:
    """A cancelled block closes like one that is left."""
    with trio.fail_after(WAIT_S), trio.CancelScope() as scope:
        async with linked(lab):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def check_traffic_is_counted(lab: TransportLab) -> None:
    """What one sends the other receives."""
    async with linked(lab) as (one, other):
        before, received = one.transport.traffic(), other.transport.traffic()
        one.transport.send(other.peer, bytes(50_000))
        await other.expect_frame(one, bytes(50_000))
        sent = one.transport.traffic().sent_bytes - before.sent_bytes
        assert 50_000 <= sent < 52_000
        assert other.transport.traffic().received_bytes - received.received_bytes >= 50_000


async def _exchange(one: Node, other: Node) -> None:
    """Check that frames flow both ways and nothing else happens."""
    for sender, receiver in ((one, other), (other, one)):
        sender.transport.send(receiver.peer, b"exchange")
        await receiver.expect_frame(sender, b"exchange")
