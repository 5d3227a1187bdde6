"""What a simulation says in which nobody came to anything: it is no success."""

from collections import Counter
from collections.abc import Sequence

from p2pfed.messages import Role
from sim.host import Host
from sim.network import Power
from sim.result import PeerReport
from sim.world import World


def fruitless(world: World, reports: Sequence[PeerReport]) -> str | None:
    """Say that no honest peer finished a round or came to its test, and why; None if one did.

    Args:
        world: At its end.
        reports: Of its peers, by number.
    """
    honest = [host for host in world.hosts if host.is_honest]
    peers = [host for host in honest if host.member.config.role is Role.TRAIN]
    if not any(reports[host.index].rounds for host in peers):
        said = "no honest peer finished a round"
    elif any(host.is_done and not host.has_given_up for host in peers):
        return None  # who came to the end was tested, if the task has rows for that
    elif not all(_lacks_test(host, reports[host.index]) for host in peers):
        return None
    else:
        said = "no honest peer was tested, as all are when they are done"
    states = Counter(_state(world, host, reports[host.index]) for host in peers)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{said}: at the end, after {world.now_s:g} s, of {len(peers)} peers {counts}"


def _lacks_test(host: Host, report: PeerReport) -> bool:
    is_asked_for = host.member.config.schedule.evaluate_every_rounds > 0
    return is_asked_for and not any(it.test_score is not None for it in report.scores)


def _state(world: World, host: Host, report: PeerReport) -> str:
    if host.core is None:
        return "yet to come" if world.is_to_start(host.index) else "down"
    if host.is_done:
        return f"stopped ({report.stopped})"
    return "still training" if host.power is Power.RUNNING else "down"
