"""The neighbor table: who the neighbors are, and the state of the connection to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from p2pfed.core.allowance import Allowance
from p2pfed.core.config import NeighborAddress
from p2pfed.identity import PeerId
from p2pfed.limits import Limits
from p2pfed.messages import Role

# Of the frames that a neighbor accepts at once, and per second, so many are for offers and
# questions; the rest is for signs of life, which nobody counts, and for links that hold back what
# was sent and give it all at once: for 15 s, when a neighbor counts as lost, that is 1,900 of the
# 2,000.
_SENT_OF_BURST: Final = 0.2
_SENT_OF_RATE: Final = 0.5


class Link(StrEnum):
    """State of the connection to a neighbor."""

    DOWN = "down"
    DIALING = "dialing"
    CONNECTED = "connected"  # Hello sent, theirs not yet received
    GREETED = "greeted"


@dataclass(slots=True, kw_only=True)
class Neighbor:
    """One entry of the neighbor table.

    Attributes:
        peer: Who.
        addresses: Where to dial, as configured.
        is_configured: Whether it is an edge of the overlay, kept and dialed for good; others are
            in the table only while they are connected or being dialed.
        frames: How many frames it may still send.
        sends: How many frames and signatures it may still be sent, beside signs of life: fewer than
            it accepts, so that it finds nothing to blame.
        answers: How many bytes of answers it may still get.
        link: State of the connection.
        attempts: Failed dials since the last greeting.
        heard_s: When the last frame came.
        was_greeted: Whether it has been greeted since this peer started.
        is_active: Whether it still trains, as far as it said.
        role: What it said of itself.
        remote_address: Multiaddress that its latest connection came from or led to, if any.
    """

    peer: PeerId
    addresses: tuple[str, ...]
    is_configured: bool
    frames: Allowance
    sends: Allowance
    answers: Allowance
    link: Link = Link.DOWN
    attempts: int = 0
    heard_s: float = 0.0
    was_greeted: bool = False
    is_active: bool = True
    role: Role = Role.TRAIN
    remote_address: str = ""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self.link in (Link.CONNECTED, Link.GREETED)


@final
class Neighbors:
    """All neighbors by peer, at most `limits.neighbors_max`."""

    def __init__(self, configured: tuple[NeighborAddress, ...], limits: Limits) -> None:
        self._limits = limits
        self._entries: dict[PeerId, Neighbor] = {}
        self._gone: dict[PeerId, None] = {}
        for edge in sorted(configured, key=lambda edge: edge.peer):
            self._entries[edge.peer] = self._make(edge.peer, edge)
        self._sorted = tuple(self._entries.values())  # made anew when one comes or goes

    def get(self, peer: PeerId) -> Neighbor | None:
        """Return the entry of a peer."""
        return self._entries.get(peer)

    def all(self) -> tuple[Neighbor, ...]:
        """Return all entries, sorted by peer."""
        return self._sorted

    def greeted(self) -> list[Neighbor]:
        """Return the neighbors that updates are exchanged with, sorted by peer."""
        return [entry for entry in self._sorted if entry.link is Link.GREETED]

    def greeted_peers(self) -> list[PeerId]:
        """Return the peers that updates are exchanged with, sorted."""
        return [entry.peer for entry in self.greeted()]

    def is_greeted(self, peer: PeerId) -> bool:
        """Return whether updates are exchanged with the peer now."""
        entry = self._entries.get(peer)
        return entry is not None and entry.link is Link.GREETED

    def with_room(self, peers: Sequence[PeerId], amount: int, now_s: float) -> list[PeerId]:
        """Return which neighbors accept so many more frames and signatures, and count them.

        What the others are not sent they hear of in heartbeats, and ask for.
        """
        entries = [self._entries[peer] for peer in peers if peer in self._entries]
        return [entry.peer for entry in entries if entry.sends.take(float(amount), now_s)]

    def is_author(self, peer: PeerId) -> bool:
        """Return whether the peer's updates matter: configured ones also while they are away.

        Mixing methods need neighbors' rows only; what strangers train is not integrated.
        """
        entry = self._entries.get(peer)
        return entry is not None and (entry.is_configured or entry.link is Link.GREETED)

    def degree(self) -> int:
        """Return how many neighbors there are.

        Configured neighbors count even while they are away, so that mixing weights do not depend
        on the moment.
        """
        return sum(1 for peer in self._entries if self.is_author(peer))

    @property
    def room(self) -> int:
        """How many strangers can still be added."""
        return self._limits.neighbors_max - len(self._entries)

    def add_stranger(self, peer: PeerId) -> Neighbor:
        """Return a new entry for a peer that is not configured."""
        entry = self._entries[peer] = self._make(peer, None)
        self._sort()
        return entry

    def remove_stranger(self, peer: PeerId) -> None:
        """Forget a peer that is not configured."""
        del self._entries[peer]
        self._sort()
        self.mark_gone(peer)

    def mark_gone(self, peer: PeerId) -> None:
        """Note that the updates of a peer do not matter any more."""
        self._gone[peer] = None

    @property
    def has_gone(self) -> bool:
        """Whether `take_gone` has something to return."""
        return bool(self._gone)

    def take_gone(self) -> list[PeerId]:
        """Return the peers whose updates have ceased to matter since the last call."""
        if not self._gone:
            return []
        gone = sorted(self._gone)
        self._gone.clear()
        return gone

    def _sort(self) -> None:
        self._sorted = tuple(entry for _, entry in sorted(self._entries.items()))

    def _make(self, peer: PeerId, edge: NeighborAddress | None) -> Neighbor:
        limits = self._limits
        burst, per_s = float(limits.frames_burst_max), limits.frames_per_s_max
        return Neighbor(
            peer=peer,
            addresses=() if edge is None else edge.addresses,
            is_configured=edge is not None,
            frames=_full(burst, per_s),
            sends=_full(_SENT_OF_BURST * burst, _SENT_OF_RATE * per_s),
            answers=_full(float(limits.answer_bytes_burst_max), limits.answer_bytes_per_s_max),
        )


def _full(amount: float, per_s: float) -> Allowance:
    return Allowance(amount_max=amount, per_s=per_s, left=amount, since_s=0.0)
