"""Links: once faults are over, every edge between living honest peers comes back."""

from typing import final

from typing_extensions import override

from p2pfed.core.config import MembershipConfig
from sim.checkers.invariant import fail
from sim.network import NetworkTiming
from sim.watching import Watcher
from sim.world import World


def return_s(
    membership: MembershipConfig, timing: NetworkTiming, *, clock_rate_min: float = 1.0
) -> float:
    """Return how long a link may take to come back, in seconds, once nothing is in the way.

    Silence is noticed, a dial under way times out, the longest pause with its jitter passes, and
    the dial that follows it has its time too.

    Args:
        membership: Timing of the peers.
        timing: Of their transports.
        clock_rate_min: How fast the slowest of the peers' clocks goes, at most 1.
    """
    own_s = membership.suspicion_s + membership.heartbeat_s + 1.5 * membership.redial_s_max
    return own_s / min(1.0, clock_rate_min) + 2.0 * timing.dial_s


@final
class LinksReturn(Watcher):
    """An edge whose both ends run and can reach each other is up within a time.

    It knows of faults alone. Peers that start late and links that lose or delay most of what they
    are given keep edges down as well: leave it out of worlds that have them.

    Args:
        membership: Timing of the peers, the same of all.
        timing: Of their transports.
        clock_rate_min: How fast the slowest of their clocks goes.
    """

    def __init__(
        self, membership: MembershipConfig, timing: NetworkTiming, *, clock_rate_min: float = 1.0
    ) -> None:
        self._within_s = return_s(membership, timing, clock_rate_min=clock_rate_min)
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
