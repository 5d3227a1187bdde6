"""Ten nodes that link, talk, fetch, cancel, disconnect, vanish and restart at random."""

import random

import pytest
import trio

from p2pfed.errors import TransportError
from p2pfed.identity import PeerId
from p2pfed.node.transport import LinkDown, LinkUp, PayloadSource, TransferRefused
from p2pfed.testing.transport_lab import WAIT_S, Node, running
from tests.node.transport.labs import LibP2PLab

NODE_COUNT = 10
DURATION_S = 60.0
PAYLOAD = random.Random(0).randbytes(2_000_000)


class Chaos:
    """What all nodes share; each draws from one generator, in the order that comes about."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lab = LibP2PLab()
        self.nodes: dict[int, Node] = {}
        self.fetched = 0
        self.frames = 0

    async def pause(self, longest_s: float) -> None:
        with trio.move_on_after(self.random.uniform(0, longest_s)):
            await trio.sleep_forever()

    async def serve(self, _peer: PeerId, _hash: bytes, _offset: int) -> PayloadSource | str:
        whole = PayloadSource.from_bytes(PAYLOAD)
        end = self.random.randrange(2 * len(PAYLOAD))

        async def read(offset: int, count: int) -> bytes:
            if offset > end:
                raise OSError("disk is broken")
            return await whole.read(offset, count)

        if self.random.random() < 0.1:
            return "not now"
        return PayloadSource(size_bytes=len(PAYLOAD), read=read)

    async def live(self, number: int) -> None:
        """Run a node again and again, for some seconds each."""
        while True:
            async with running(self.lab, number, server=self.serve) as node:
                self.nodes[number] = node
                with trio.move_on_after(self.random.uniform(1, 20)):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self.listen, node)
                        for _ in range(3):
                            nursery.start_soon(self.act, node)
                del self.nodes[number]
                begin = trio.current_time()
            assert trio.current_time() - begin < 3.0

    async def listen(self, node: Node) -> None:
        """Check the grammar of events: up, frames, down, for each peer."""
        up: set[PeerId] = set()
        async for event in node.events:
            assert (event.peer in up) != isinstance(event, LinkUp)
            match event:
                case LinkUp():
                    up.add(event.peer)
                case LinkDown():
                    up.remove(event.peer)
                case _:
                    self.frames += 1
            if self.random.random() < 0.01:
                await self.pause(0.2)

    async def act(self, node: Node) -> None:
        while True:
            await self.pause(0.05)
            other = self.nodes.get(self.random.randrange(1, NODE_COUNT + 1))
            if other is None or other is node:
                continue
            actions = (self.dial, self.talk, self.fetch, self.disconnect)
            action = self.random.choices(actions, weights=(35, 30, 30, 5))[0]
            try:
                with trio.fail_after(2 * WAIT_S):
                    await action(node, other)
            except (TransportError, TransferRefused):
                pass  # the other one is gone, or does not want to
            if self.random.random() < 0.01:
                await self.lab.vanish(node.transport)

    async def dial(self, node: Node, other: Node) -> None:
        await node.dial(other)

    async def disconnect(self, node: Node, other: Node) -> None:
        await node.transport.disconnect(other.peer)

    async def talk(self, node: Node, other: Node) -> None:
        for _ in range(self.random.randrange(50)):
            size = self.random.choice((10, 1_000, 65_536))
            node.transport.send(other.peer, self.random.randbytes(size))

    async def fetch(self, node: Node, other: Node) -> None:
        offset = self.random.randrange(len(PAYLOAD) + 1)
        received = bytearray()
        try:
            with trio.move_on_after(self.random.choice((0.02, 0.1, WAIT_S))) as scope:
                await node.transport.fetch(
                    other.peer,
                    bytes(32),
                    size_bytes=len(PAYLOAD),
                    offset=offset,
                    sink=received.extend,
                )
            if not scope.cancelled_caught:
                assert offset + len(received) == len(PAYLOAD)
                self.fetched += 1
        finally:
            assert received == PAYLOAD[offset : offset + len(received)]


@pytest.mark.net
@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_breaks(seed: int) -> None:
    chaos = Chaos(seed)
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(DURATION_S):
        async with trio.open_nursery() as nursery:
            for number in range(1, NODE_COUNT + 1):
                nursery.start_soon(chaos.live, number)
    assert chaos.fetched > 10
    assert chaos.frames > 100
    assert trio.lowlevel.current_statistics().tasks_living <= before + 2
