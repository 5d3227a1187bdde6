"""Which events are trouble, and what is said of all of them together."""

from p2pfed.core.effects import Notify
from p2pfed.core.events import JobFailed
from p2pfed.core.notices import JobTrouble
from sim.troubles import Troubles, trouble_of

TOLD = [Notify(notice=JobTrouble(reason="out of memory"))]


def failed(*, budget_spent: bool = False) -> JobFailed:
    return JobFailed(job=1, reason="out of memory", cancelled=False, budget_spent=budget_spent)


def test_a_job_that_failed_and_was_told_of_is_trouble() -> None:
    assert trouble_of(failed(), TOLD) == "out of memory"


def test_a_job_that_nobody_is_told_of_is_none() -> None:
    assert trouble_of(failed(), []) is None


def test_a_spent_budget_is_none() -> None:
    assert trouble_of(failed(budget_spent=True), TOLD) is None


def test_nothing_is_said_where_nothing_failed() -> None:
    assert Troubles().warning("gone") is None


def test_one_job_is_told_of_in_the_singular() -> None:
    troubles = Troubles()
    troubles.add(3, "out of memory")
    assert troubles.warning("gone") == "1 job failed at 1 peer, gone: out of memory"


def test_the_most_frequent_reason_is_told() -> None:
    troubles = Troubles()
    for peer, reason in enumerate(["rare", "frequent", "frequent"]):
        troubles.add(peer, reason)
    assert troubles.warning("gone") == "3 jobs failed at 3 peers, gone: frequent"
