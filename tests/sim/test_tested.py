"""Who is in the mean of test scores, and who is not."""

import pytest

import sim
from p2pfed.core.row_use import NOTHING_CAME
from sim.result import PeerReport, Score, accuracies, untested
from tests.sim.short import SHORT


def report(*test_scores: float | None) -> PeerReport:
    scores = [
        Score(round=round, at_s=1.0, score=0.5, test_score=it)
        for round, it in enumerate(test_scores)
    ]
    return PeerReport(scores=scores)


def test_the_last_score_with_a_test_counts_whatever_was_evaluated_later() -> None:
    found = accuracies([report(0.75), report(0.1, 0.25, None)])
    assert found == {"mean_accuracy": 0.5, "worst_accuracy": 0.25, "tested": 1.0}


def test_who_was_never_tested_is_counted_and_warned_of() -> None:
    peers = [report(0.75), report(0.5), report(None), report()]
    assert accuracies(peers)["tested"] == 0.5
    said = untested(peers)
    assert said is not None
    assert said.startswith("2 of 4 honest peers that train have no test score")


@pytest.mark.parametrize("peers", [[], [report(0.5)], [report(None), report()]])
def test_where_all_or_none_were_tested_there_is_nothing_to_say(peers: list[PeerReport]) -> None:
    assert untested(peers) is None


def test_a_straggler_that_was_tested_in_between_is_in_the_mean() -> None:
    slow = {"kind": "slow", "at_s": 1.1, "peers": [2], "speed_ratio": 0.1}
    schedule = {**SHORT["schedule"], "test_every_rounds": 1, "evaluate_every_rounds": 1}
    scenario = {**SHORT, "until_s": 5.0, "faults": [slow], "schedule": schedule}
    result = sim.run(scenario)
    assert result.peers[2].stopped is None
    assert result.metrics["tested"] == 1.0
    assert result.warning in (None, NOTHING_CAME)
