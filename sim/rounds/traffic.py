"""What went between peers, and who was whose neighbor at some time."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import final

from sim.rounds.meeting import Meeting
from sim.rounds.neighborhood import Neighborhood


@final
class Traffic:
    """Counts payload bytes; headers and framing are not simulated.

    Args:
        peers: How many.
    """

    def __init__(self, peers: int) -> None:
        self._peers = peers
        self._sent = [0] * peers
        self._links: Counter[tuple[int, int]] = Counter()
        # The latest meeting, and what each of its peers sent to each receiver: one that repeats is
        # asked only once who they are.
        self._latest: Meeting | None = None
        self._each = [0] * peers

    def add(self, meeting: Meeting, byte_counts: Sequence[int], silent: Collection[int]) -> None:
        """Count one exchange.

        Args:
            meeting: Who sends to whom.
            byte_counts: Of the payload of each peer.
            silent: Who sends nothing.
        """
        if self._latest is not meeting:
            self._settle()
            self._latest = meeting
        for peer, count in enumerate(byte_counts):
            if peer not in silent:
                self._each[peer] += count
                self._sent[peer] += count * len(meeting.receivers[peer])

    def sent_bytes(self, peer: int) -> int:
        """Return what a peer has sent to all."""
        return self._sent[peer]

    def links(self) -> list[tuple[tuple[int, int], int]]:
        """Return sender and receiver and what went between them, ascending."""
        self._settle()
        return sorted(self._links.items())

    def _settle(self) -> None:
        """Count what the latest meeting's peers sent to whom."""
        if self._latest is not None:
            for sender, receivers in enumerate(self._latest.receivers):
                for receiver in receivers:
                    self._links[sender, receiver] += self._each[sender]
        self._latest = None
        self._each = [0] * self._peers


@final
class Acquaintances:
    """Who was a neighbor of an honest peer in some exchange.

    Attributes:
        honest: Pairs of an honest peer and an honest neighbor.
        liars: Pairs of an honest peer and a lying neighbor.
        liar_ratio_max: The largest share of liars that an honest peer heard in one exchange.
    """

    def __init__(self) -> None:
        self.honest: set[tuple[int, int]] = set()
        self.liars: set[tuple[int, int]] = set()
        self.liar_ratio_max = 0.0
        self._last: Meeting | None = None

    def is_new(self, meeting: Meeting) -> bool:
        """Return whether an exchange is of other neighbors than the one asked about before."""
        is_other = meeting is not self._last
        self._last = meeting
        return is_other

    def add(self, place: Neighborhood) -> None:
        """Take note of an honest peer's neighbors."""
        self.honest.update((place.peer, number) for number in place.honest)
        self.liars.update((place.peer, number) for number in place.liars)
        self.liar_ratio_max = max(self.liar_ratio_max, place.liar_neighbor_ratio())
