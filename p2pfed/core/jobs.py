"""Ids of the jobs that the driver runs, so that late or foreign answers are recognized."""

from typing import final


@final
class Jobs:
    """Gives out job ids, each once in the life of a peer.

    The last id is saved with every model, so that no later life gives out the id of a saved one.
    """

    def __init__(self, last: int) -> None:
        self.last = last

    def next(self) -> int:
        """Return a new job id."""
        self.last += 1
        return self.last
