"""The checkers that every world should have."""

from p2pfed.core.config import MembershipConfig
from sim.checkers.blame import HonestUnblamed
from sim.checkers.bounds import BoundedEffects, BoundedState, BoundedWeights
from sim.checkers.links import LinksReturn
from sim.checkers.sequences import SavedBeforeSent, UniqueSequences
from sim.network import NetworkTiming
from sim.watching import Watcher


def return_s(membership: MembershipConfig, timing: NetworkTiming) -> float:
    """Return how long a link may take to come back, in seconds, once nothing is in the way.

    Silence is noticed, a dial under way times out, the longest pause with its jitter passes, and
    the dial that follows it has its time too.
    """
    return (
        membership.suspicion_s
        + membership.heartbeat_s
        + 1.5 * membership.redial_s_max
        + 2.0 * timing.dial_s
    )


def standard_checkers(
    membership: MembershipConfig | None = None, timing: NetworkTiming | None = None
) -> list[Watcher]:
    """Make one of each, for one world.

    Args:
        membership: Timing of the peers; decides how long a link may take to come back.
        timing: Of their transports.
    """
    within_s = return_s(membership or MembershipConfig(), timing or NetworkTiming())
    return [
        UniqueSequences(),
        SavedBeforeSent(),
        HonestUnblamed(),
        BoundedEffects(),
        BoundedState(),
        BoundedWeights(),
        LinksReturn(within_s),
    ]
