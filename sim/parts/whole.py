"""A world in parts, as those see it who watch it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final

from p2pfed.identity import PeerId
from sim.clock import NANOSECONDS_PER_SECOND
from sim.consensus import distance
from sim.member import Member
from sim.parts.lockstep import Part


@final
@dataclass(frozen=True, slots=True)
class Seat:
    """What is known of a simulated machine when its peer tells something.

    Attributes:
        index: Number of the peer.
        member: Who it is.
        now_s: Virtual time, in seconds.
        sent_bytes: What it has sent by then; 0 if what it tells is no evaluation.
    """

    index: int
    member: Member
    now_s: float
    sent_bytes: int

    @property
    def is_honest(self) -> bool:
        """Whether it follows the protocol."""
        return self.member.adversary is None

    @property
    def peer(self) -> PeerId:
        """Who this is."""
        return self.member.identity.peer


@final
class Whole:
    """Tells of all parts what a `World` tells of itself, as of the end of the last step.

    Args:
        members: All peers, by number.
        parts: What simulates them.

    Attributes:
        members: All peers, by number.
        now_s: When that happened of which watchers are told, in virtual seconds.
        events: How many there were.
    """

    def __init__(self, members: Sequence[Member], parts: Sequence[Part]) -> None:
        self.members = members
        self.now_s = 0.0
        self.events = 0
        self._parts = parts

    def seat(self, number: int, at_ns: int, sent_bytes: int) -> Seat:
        """Let a time come, and return who then tells something."""
        self.now_s = at_ns / NANOSECONDS_PER_SECOND
        return Seat(number, self.members[number], self.now_s, sent_bytes)

    def all_sent_bytes(self) -> int:
        """Return what all have sent, with the framing around it."""
        return sum(count for _, count in self.link_bytes())

    def link_bytes(self) -> list[tuple[tuple[int, int], int]]:
        """Return what went along each direction of each edge, by who sent and who received."""
        return sorted(link for part in self._parts for link in part.link_bytes())

    def consensus_distance(self, numbers: Collection[int]) -> float | None:
        """Return the mean squared distance of peers' vectors from their mean; None without any."""
        return distance(
            [part.vector_sum(numbers) for part in self._parts],
            lambda mean: sum(part.square_sum(numbers, mean) for part in self._parts),
        )
