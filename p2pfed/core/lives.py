"""Which lives of an author count in a ledger: a few, and the same ones at all peers."""

from bisect import insort
from collections.abc import Collection
from typing import final

from p2pfed.identity import PeerId
from p2pfed.limits import LIVES_PER_AUTHOR_MAX


@final
class Lives:
    """Incarnations of authors of which a valid entry was seen; of each author those that count.

    An author may have lost its disk a few times, and what it wrote before counts on. More lives
    than that would be memory, work and traffic without end. Those with the lowest numbers count:
    whoever has seen the same entries leaves out the same ones, in whatever order they came.
    """

    def __init__(self) -> None:
        self._of: dict[PeerId, list[int]] = {}  # ascending

    def of(self, author: PeerId) -> tuple[int, ...]:
        """Return the lives of an author that count, in ascending order."""
        return tuple(self._of.get(author, ()))

    def may_take(self, author: PeerId, incarnation: int, pending: Collection[int]) -> bool:
        """Return whether to look at an entry: it may turn out to be of a life that counts.

        Args:
            author: Who signed it.
            incarnation: In which life.
            pending: Lives of the author of which entries are here that may not be valid.
        """
        lives = self._of.get(author, [])
        if incarnation in lives:
            return True
        if len(lives) >= LIVES_PER_AUTHOR_MAX and incarnation > lives[-1]:
            return False
        others = set(pending).difference(lives, (incarnation,))
        return len(others) < LIVES_PER_AUTHOR_MAX

    def count(self, author: PeerId, incarnation: int) -> int | None:
        """Take note that an entry of a life is valid; return the life that does not count now."""
        lives = self._of.setdefault(author, [])
        if incarnation not in lives:
            insort(lives, incarnation)
        return lives.pop() if len(lives) > LIVES_PER_AUTHOR_MAX else None

    def last(self) -> tuple[tuple[PeerId, int], ...]:
        """Return the authors that have no more lives left, and the last one of each that counts."""
        return tuple(
            (author, lives[-1])
            for author, lives in sorted(self._of.items())
            if len(lives) >= LIVES_PER_AUTHOR_MAX
        )

    def forget(self, author: PeerId) -> None:
        """Forget the lives of an author of whom nothing counts."""
        self._of.pop(author, None)
