"""The medium of in-memory transports, with switches for everything that goes wrong on a network."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final

import trio

from p2pfed.identity import PeerId, format_peer_id


class Station(Protocol):
    """What the network does to a transport; `MemoryTransport` is the only one."""

    peer: PeerId

    def cut(self, peer: PeerId | None) -> None:
        """Break the link to a peer, or all links, without a word."""

    def receive_oversized(self, sender: PeerId, size_bytes: int) -> None:
        """Behave as if a peer had announced a frame above the limit."""


@final
class MemoryNetwork:
    """Connects the transports of one process and disturbs them on demand."""

    def __init__(self) -> None:
        self._listening: dict[str, Station] = {}
        self._numbers = itertools.count(1)
        self._stalled: dict[frozenset[PeerId], trio.Event] = {}
        self._corrupt: set[PeerId] = set()
        self._silent: set[str] = set()

    def break_link(self, one: PeerId, other: PeerId) -> None:
        """Cut the link between two peers, as a pulled cable does; both see LinkDown."""
        for transport in self._listening.values():
            if transport.peer in (one, other):
                transport.cut(other if transport.peer == one else one)

    def vanish(self, peer: PeerId) -> None:
        """Cut all links of a peer and make it unreachable, as a crash does."""
        for address, transport in list(self._listening.items()):
            if transport.peer == peer:
                del self._listening[address]
            transport.cut(None if transport.peer == peer else peer)

    @contextmanager
    def stalled(self, one: PeerId, other: PeerId) -> Iterator[None]:
        """Let nothing through between two peers, without closing anything, inside the block."""
        released = self._stalled[frozenset((one, other))] = trio.Event()
        try:
            yield
        finally:
            del self._stalled[frozenset((one, other))]
            released.set()

    @contextmanager
    def corrupting(self, server: PeerId) -> Iterator[None]:
        """Flip a bit in each payload chunk that a peer serves inside the block."""
        self._corrupt.add(server)
        try:
            yield
        finally:
            self._corrupt.discard(server)

    def inject_oversized(self, sender: PeerId, receiver: PeerId, size_bytes: int) -> None:
        """Let a peer announce a frame above the limit on its link."""
        for transport in self._listening.values():
            if transport.peer == receiver:
                transport.receive_oversized(sender, size_bytes)

    @contextmanager
    def silent_address(self) -> Iterator[str]:
        """Give an address where nobody ever answers, inside the block."""
        address = f"/memory/{next(self._numbers)}"
        self._silent.add(address)
        try:
            yield address
        finally:
            self._silent.discard(address)

    def is_silent(self, address: str) -> bool:
        """Whether nobody ever answers at an address."""
        return address in self._silent

    def register(self, transport: Station) -> str:
        """Give a transport an address at which it is found."""
        address = f"/memory/{next(self._numbers)}/p2p/{format_peer_id(transport.peer)}"
        self._listening[address] = transport
        return address

    def unregister(self, address: str) -> None:
        """Make an address lead nowhere."""
        self._listening.pop(address, None)

    def find(self, address: str) -> Station | None:
        """Return who listens at an address."""
        return self._listening.get(address)

    async def wait_for_passage(self, one: PeerId, other: PeerId) -> None:
        """Return when bytes get through between two peers; a checkpoint."""
        await trio.lowlevel.checkpoint()
        while (released := self._stalled.get(frozenset((one, other)))) is not None:
            await released.wait()

    def carry(self, server: PeerId, chunk: bytes) -> bytes:
        """Return a payload chunk as it arrives."""
        if server not in self._corrupt or not chunk:
            return chunk
        return bytes([chunk[0] ^ 1]) + chunk[1:]
