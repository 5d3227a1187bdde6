"""Nodes of one process for tests: real driver, disk and threads, a network in memory."""

import dataclasses
from contextlib import asynccontextmanager

import trio
from blake3 import blake3

from p2pfed.core.config import CoreConfig, MembershipConfig, NeighborAddress, ScheduleConfig
from p2pfed.core.events import Command
from p2pfed.core.notices import Finished, NeighborJoined, NeighborLost, PeerOffended, RoundFinished
from p2pfed.identity import Identity
from p2pfed.node.driver import Node
from p2pfed.node.memory_transport import MemoryNetwork, MemoryTransport
from p2pfed.node.store import StateStore
from sim.benches import StubBench

GENESIS = b"a genesis document"
RUN_ID = blake3(GENESIS).digest()

SCHEDULE = ScheduleConfig(
    rounds_max=4, deadline_s=20.0, linger_s=30.0, start_neighbors=1, start_deadline_s=20.0
)
# Short pauses: nothing in these tests waits for them unless a link is really down.
MEMBERSHIP = MembershipConfig(heartbeat_s=0.2, suspicion_s=5.0, redial_s_min=0.05, redial_s_max=0.2)


def identity_of(index):
    """Return the identity of a peer by number."""
    return Identity(bytes([index + 1]) * 32)


def make_config(neighbors=(), *, schedule=SCHEDULE, run_id=RUN_ID, **fields):
    """Return what a core is told, with the given (peer, address) pairs as neighbors."""
    configured = tuple(
        NeighborAddress(peer=peer, addresses=(address,)) for peer, address in neighbors
    )
    return CoreConfig(
        run_id=run_id,
        genesis_bytes=len(GENESIS),
        genesis_fields=(("name", run_id[:8]),),
        method="full",
        codec="float32",
        payload_bytes_max=1 << 20,
        schedule=schedule,
        membership=dataclasses.replace(MEMBERSHIP, neighbors=configured),
        **fields,
    )


class Member:
    """A node, and everything that it has told."""

    def __init__(self, node, bench):
        self.node = node
        self.bench = bench
        self.notices = []
        self._changed = trio.Event()

    def take(self, notice):
        self.notices.append(notice)
        self._changed.set()
        self._changed = trio.Event()

    def all(self, kind):
        return [notice for notice in self.notices if isinstance(notice, kind)]

    async def wait_for(self, condition):
        """Wait until `condition(self)` is true."""
        while not condition(self):
            await self._changed.wait()

    async def joined(self, peer):
        await self.wait_for(lambda m: any(n.peer == peer for n in m.all(NeighborJoined)))

    async def lost(self, peer):
        await self.wait_for(lambda m: any(n.peer == peer for n in m.all(NeighborLost)))

    async def rounds(self, count):
        await self.wait_for(lambda m: len(m.all(RoundFinished)) >= count)

    async def finished(self):
        await self.wait_for(lambda m: m.all(Finished))
        return self.all(Finished)[0]

    async def offended(self, peer):
        await self.wait_for(lambda m: any(n.peer == peer for n in m.all(PeerOffended)))
        return [n for n in self.all(PeerOffended) if n.peer == peer]


@asynccontextmanager
async def running(
    network, index, folder, *, neighbors=(), bench=None, config=None, leave=True, record=None
):
    """Run a node until the block is left; `leave=False` ends it as kill -9 would.

    Args:
        record: A `RecordFile`.
    """
    bench = bench or StubBench(index)
    transport = MemoryTransport(network, identity_of(index))
    with StateStore(folder / f"peer-{index}") as store:
        member = Member(None, bench)
        member.node = Node(
            config=config or make_config(neighbors),
            identity=identity_of(index),
            genesis=GENESIS,
            bench=bench,
            transport=transport,
            state=store,
            on_notice=member.take,
            record=record,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(member.node.run)
            member.node.begin()
            await member.node.wait_begun()
            try:
                yield member
            finally:
                if leave:
                    with trio.move_on_after(3.0, shield=True):
                        member.node.command(Command.LEAVE)
                        await member.node.wait_left()
                nursery.cancel_scope.cancel()


def reach(member):
    """Return the (peer, address) pair under which others dial a running node."""
    return member.node.peer, member.node.addresses()[0]


__all__ = ["MemoryNetwork"]
