"""Checks of payload transfers; each takes a lab and raises AssertionError."""

import trio

from p2pfed.errors import SchemaError, TransportError
from p2pfed.identity import PeerId
from p2pfed.limits import HASH_BYTES
from p2pfed.node.transport import PayloadServer, PayloadSource, TransferRefused
from p2pfed.node.transport_limits import TransportLimits
from p2pfed.testing.transport_lab import (
    SHORT,
    WAIT_S,
    Node,
    TransportLab,
    expect,
    linked,
    running,
    serve,
)

CONTENT_HASH = bytes(range(HASH_BYTES))
PAYLOAD = bytes(range(251)) * 4_000  # 1 MB, and not in step with any chunk size


async def fetch(
    node: Node, server: Node, *, size_bytes: int, offset: int = 0, into: bytearray | None = None
) -> bytes:
    """Fetch from another node and return what arrived; `into` keeps it when that fails."""
    received = bytearray() if into is None else into
    await node.transport.fetch(
        server.peer, CONTENT_HASH, size_bytes=size_bytes, offset=offset, sink=received.extend
    )
    return bytes(received)


async def check_payload_arrives_whole(lab: TransportLab) -> None:
    """Every byte, from the start, from an offset, from the end, of large and empty payloads."""
    size = len(PAYLOAD)
    async with linked(lab, server=serve(PAYLOAD)) as (one, other):
        assert await fetch(one, other, size_bytes=size) == PAYLOAD
        assert await fetch(one, other, size_bytes=size, offset=777_777) == PAYLOAD[777_777:]
        assert await fetch(one, other, size_bytes=size, offset=size) == b""
    async with linked(lab, server=serve(b"")) as (one, other):
        assert await fetch(one, other, size_bytes=0) == b""


async def check_server_sees_the_request(lab: TransportLab) -> None:
    """The server is asked by whom, for what, and from where on."""
    seen: list[tuple[PeerId, bytes, int]] = []

    async def answer(peer: PeerId, content_hash: bytes, offset: int) -> PayloadSource:
        seen.append((peer, content_hash, offset))
        return PayloadSource.from_bytes(PAYLOAD)

    async with linked(lab, server=answer) as (one, other):
        await fetch(one, other, size_bytes=len(PAYLOAD), offset=5)
        assert seen == [(one.peer, CONTENT_HASH, 5)]


async def check_refusal_says_why(lab: TransportLab) -> None:
    """A refusal is an answer, whatever its length."""
    text = "quota of this round is used up — try later"

    async def answer(_peer: PeerId, _content_hash: bytes, _offset: int) -> str:
        return text

    async with linked(lab, server=answer) as (one, other):
        error = await expect(TransferRefused, lambda: fetch(one, other, size_bytes=1))
        assert str(error) == text


async def check_wrong_size_is_an_offence(lab: TransportLab) -> None:
    """A peer that announces more or less than was agreed gets no byte through."""
    for lie in (-1, 1, 1 << 40):
        size = len(PAYLOAD) + lie
        source = PayloadSource(size_bytes=size, read=PayloadSource.from_bytes(PAYLOAD).read)
        async with linked(lab, server=_always(source)) as (one, other):
            received = bytearray()

            async def attempt(
                one: Node = one, other: Node = other, into: bytearray = received
            ) -> None:
                await fetch(one, other, size_bytes=len(PAYLOAD), into=into)

            error = await expect(SchemaError, attempt)
            assert str(size) in str(error)
            assert not received
            await _check_link(one, other)


async def check_broken_transfer_resumes(lab: TransportLab) -> None:
    """After a reset in the middle the rest is fetched from where it ended."""
    failures = iter([True, False])
    whole = PayloadSource.from_bytes(PAYLOAD)

    async def answer(_peer: PeerId, _content_hash: bytes, _offset: int) -> PayloadSource:
        will_fail = next(failures)

        async def read(offset: int, count: int) -> bytes:
            if will_fail and offset > len(PAYLOAD) // 2:
                raise OSError("disk is broken")
            return await whole.read(offset, count)

        return PayloadSource(size_bytes=len(PAYLOAD), read=read)

    async with linked(lab, server=answer) as (one, other):
        received = bytearray()
        size = len(PAYLOAD)
        await expect(TransportError, lambda: fetch(one, other, size_bytes=size, into=received))
        assert received == PAYLOAD[: len(received)]
        await fetch(one, other, size_bytes=size, offset=len(received), into=received)
        assert received == PAYLOAD
        await _check_link(one, other)


async def check_stalled_sender_is_given_up(lab: TransportLab) -> None:
    """A server that stops sending, or never answers, costs the idle deadline and no more."""

    async def read_half(offset: int, count: int) -> bytes:
        if offset > 0:
            await trio.sleep_forever()
        return PAYLOAD[offset : offset + count]

    async def never_answer(_peer: PeerId, _content_hash: bytes, _offset: int) -> str:
        await trio.sleep_forever()
        raise AssertionError("not reached")

    stalled = _always(PayloadSource(size_bytes=len(PAYLOAD), read=read_half))
    for server in (stalled, never_answer):
        async with linked(lab, server=server, limits=SHORT) as (one, other):
            begin = trio.current_time()
            await expect(
                TransportError,
                lambda one=one, other=other: fetch(one, other, size_bytes=len(PAYLOAD)),  # type: ignore[misc]
            )
            assert trio.current_time() - begin < SHORT.idle_s + 2.0
            await _check_link(one, other)


async def check_concurrent_transfers(lab: TransportLab) -> None:
    """Several transfers and frames share a link; what exceeds the bound is refused as busy."""
    limits = TransportLimits()
    async with linked(lab, server=serve(PAYLOAD)) as (one, other):
        async with trio.open_nursery() as nursery:
            for _ in range(limits.uploads_per_peer_max):
                nursery.start_soon(_fetch_whole, one, other)
            await _check_link(one, other)
        await _fetch_whole(one, other)

    gate = trio.Event()

    async def wait(_peer: PeerId, _content_hash: bytes, _offset: int) -> PayloadSource:
        await gate.wait()
        return PayloadSource.from_bytes(PAYLOAD)

    async with linked(lab, server=wait) as (one, other):
        outcomes: list[str] = []

        async def attempt() -> None:
            try:
                await _fetch_whole(one, other)
            except TransferRefused as error:
                outcomes.append(str(error))
                gate.set()

        with trio.fail_after(WAIT_S):
            async with trio.open_nursery() as nursery:
                for _ in range(limits.uploads_per_peer_max + 1):
                    nursery.start_soon(attempt)
        assert outcomes == ["busy"]


async def check_cancelled_transfers_leave_the_link(lab: TransportLab) -> None:
    """Twenty transfers cancelled at different points: link and later transfers survive."""
    async with linked(lab, server=serve(PAYLOAD)) as (one, other):
        for bytes_before_cancel in range(0, len(PAYLOAD), len(PAYLOAD) // 20):
            received = bytearray()
            with trio.CancelScope() as scope:

                def sink(
                    chunk: bytes,
                    received: bytearray = received,
                    scope: trio.CancelScope = scope,
                    limit: int = bytes_before_cancel,
                ) -> None:
                    received.extend(chunk)
                    if len(received) > limit:
                        scope.cancel()

                if not bytes_before_cancel:
                    scope.cancel()
                await one.transport.fetch(
                    other.peer, CONTENT_HASH, size_bytes=len(PAYLOAD), offset=0, sink=sink
                )
            assert received == PAYLOAD[: len(received)]
        await _check_link(one, other)
        await _fetch_whole(one, other)


async def check_failing_server_costs_one_transfer(lab: TransportLab) -> None:
    """An exception of the node's own handler is that transfer's end and nothing else's."""

    async def fail(_peer: PeerId, _content_hash: bytes, _offset: int) -> str:
        raise ValueError("a mistake in the node")

    async with linked(lab, server=fail) as (one, other):
        for _ in range(3):
            await expect(TransportError, lambda: fetch(one, other, size_bytes=10))
        await _check_link(one, other)


async def check_failing_sink_is_raised(lab: TransportLab) -> None:
    """The caller's own exception comes out of `fetch` as it is."""

    def sink(_chunk: bytes) -> None:
        raise ZeroDivisionError

    async with linked(lab, server=serve(PAYLOAD)) as (one, other):

        async def attempt() -> None:
            await one.transport.fetch(
                other.peer, CONTENT_HASH, size_bytes=len(PAYLOAD), offset=0, sink=sink
            )

        await expect(ZeroDivisionError, attempt)
        await _check_link(one, other)
        await _fetch_whole(one, other)


async def check_source_is_closed(lab: TransportLab) -> None:
    """A source is closed once, however its transfer ends."""
    closed: list[bool] = []
    whole = PayloadSource.from_bytes(PAYLOAD)

    def close() -> None:
        closed.append(True)

    async def fail(_offset: int, _count: int) -> bytes:
        raise OSError("disk is broken")

    good = PayloadSource(size_bytes=len(PAYLOAD), read=whole.read, close=close)
    bad = PayloadSource(size_bytes=len(PAYLOAD), read=fail, close=close)
    async with linked(lab, server=_always(good)) as (one, other):
        await _fetch_whole(one, other)
    assert closed == [True]
    async with linked(lab, server=_always(bad)) as (one, other):
        await expect(TransportError, lambda: fetch(one, other, size_bytes=len(PAYLOAD)))
    assert closed == [True, True]


async def check_transfer_ends_with_the_link(lab: TransportLab) -> None:
    """A transfer does not outlive the connection, and cannot begin without a link."""

    async def read(_offset: int, _count: int) -> bytes:
        reading.set()
        await trio.sleep_forever()
        raise AssertionError("not reached")

    reading = trio.Event()
    stuck = _always(PayloadSource(size_bytes=len(PAYLOAD), read=read))
    async with linked(lab, server=stuck) as (one, other):

        async def attempt() -> None:
            await expect(TransportError, lambda: fetch(one, other, size_bytes=len(PAYLOAD)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            await reading.wait()
            await lab.vanish(other.transport)
        await one.expect_down(other)
        await expect(TransportError, lambda: fetch(one, other, size_bytes=1))


async def check_closing_ends_transfers(lab: TransportLab) -> None:
    """Leaving `run` in the middle of a transfer takes less than 3 s, on either side."""

    async def read(_offset: int, _count: int) -> bytes:
        reading.set()
        await trio.sleep_forever()
        raise AssertionError("not reached")

    reading = trio.Event()
    stuck = _always(PayloadSource(size_bytes=len(PAYLOAD), read=read))
    async with running(lab, 1) as one, trio.open_nursery() as nursery:
        async with running(lab, 2, server=stuck) as other:
            await one.dial(other)

            async def attempt() -> None:
                await expect(TransportError, lambda: fetch(one, other, size_bytes=len(PAYLOAD)))

            nursery.start_soon(attempt)
            await reading.wait()
            begin = trio.current_time()
        assert trio.current_time() - begin < 3.0


def _always(source: PayloadSource) -> PayloadServer:
    async def answer(_peer: PeerId, _content_hash: bytes, _offset: int) -> PayloadSource:
        return source

    return answer


async def _fetch_whole(one: Node, other: Node) -> None:
    with trio.fail_after(WAIT_S):
        assert await fetch(one, other, size_bytes=len(PAYLOAD)) == PAYLOAD


async def _check_link(one: Node, other: Node) -> None:
    """Check that the link still carries frames, both ways."""
    for sender, receiver in ((one, other), (other, one)):
        sender.transport.send(receiver.peer, b"still here")
        await receiver.expect_frame(sender, b"still here")
