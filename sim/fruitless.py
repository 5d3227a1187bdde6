"""What a simulation says in which nobody came to anything: it is no success."""

from collections import Counter
from collections.abc import Sequence

from p2pfed.messages import Role
from sim.member import Member
from sim.outcomes import Outcome
from sim.result import PeerReport


def fruitless(
    outcomes: Sequence[Outcome],
    members: Sequence[Member],
    reports: Sequence[PeerReport],
    *,
    at_s: float,
) -> str | None:
    """Say that no honest peer finished a round or came to its test, and why; None if one did.

    Args:
        outcomes: How all stand.
        members: All peers, by number.
        reports: Of them, by number.
        at_s: When, in virtual seconds.
    """
    peers = [
        it
        for it in outcomes
        if members[it.number].adversary is None and members[it.number].config.role is Role.TRAIN
    ]
    if not any(reports[it.number].rounds for it in peers):
        said = "no honest peer finished a round"
    elif any(it.is_done and not it.has_given_up for it in peers):
        return None  # who came to the end was tested, if the task has rows for that
    elif not all(_lacks_test(members[it.number], reports[it.number]) for it in peers):
        return None
    else:
        said = "no honest peer was tested, as all are when they are done"
    states = Counter(_state(it, reports[it.number]) for it in peers)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{said}: at the end, after {at_s:g} s, of {len(peers)} peers {counts}"


def _lacks_test(member: Member, report: PeerReport) -> bool:
    is_asked_for = member.config.schedule.evaluate_every_rounds > 0
    return is_asked_for and not any(it.test_score is not None for it in report.scores)


def _state(outcome: Outcome, report: PeerReport) -> str:
    if not outcome.has_started:
        return "yet to come" if outcome.is_to_start else "down"
    if outcome.is_done:
        return f"stopped ({report.stopped})"
    return "still training" if outcome.is_running else "down"
