"""Links: once faults are over, every edge between living honest peers comes back."""

from typing import final

from typing_extensions import override

from sim.checkers.invariant import fail
from sim.watching import Watcher
from sim.world import World


@final
class LinksReturn(Watcher):
    """An edge whose both ends run and can reach each other is up within a time.

    Args:
        within_s: After the last fault began or ended, in virtual seconds.
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._changed_s = 0.0

    @override
    def world_changed(self, world: World) -> None:
        self._changed_s = world.now_s

    @override
    def world_checked(self, world: World) -> None:
        if world.now_s - self._changed_s <= self._within_s:
            return
        missing = world.missing_links()
        if missing:
            fail(
                self,
                f"{len(missing)} links are down {world.now_s - self._changed_s:.1f} s after the "
                f"last fault, the first between {missing[0][0]} and {missing[0][1]}",
            )
