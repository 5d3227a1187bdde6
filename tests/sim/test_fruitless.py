"""Simulations in which nobody came to anything say so."""

from typing import Any

import pytest

import sim
from p2pfed.core.row_use import NOTHING_CAME
from tests.sim.short import SHORT

EVERYBODY = [0, 1, 2]


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"until_s": 0.9}, "after 0.9 s, of 3 peers 3 still training"),
        (
            {"faults": [{"kind": "crash", "at_s": 0.5, "peers": EVERYBODY}]},
            "after 0.5 s, of 3 peers 3 down",
        ),
        (
            {"availability": [{"peers": EVERYBODY, "until_s": 0.75}]},
            "after 0.75 s, of 3 peers 3 down",
        ),
        (
            {"availability": [{"peers": [0], "from_s": 0.5}, {"peers": [1, 2], "until_s": 0.25}]}
            | {"until_s": 0.75},
            "after 0.75 s, of 3 peers 2 down, 1 still training",
        ),
    ],
)
def test_no_round_at_all_is_warned_of(tables: dict[str, Any], said: str) -> None:
    result = sim.run({**SHORT, **tables})
    assert result.warning == f"no honest peer finished a round: at the end, {said}"
    assert result.metrics["finished"] == 0.0


def test_rounds_without_a_test_are_warned_of_if_one_was_asked_for() -> None:
    schedule = {**SHORT["schedule"], "rounds_max": 9}
    result = sim.run({**SHORT, "until_s": 2.0, "schedule": schedule})
    counts = "at the end, after 2 s, of 3 peers 3 still training"
    assert result.warning == f"no honest peer was tested, as all are when they are done: {counts}"
    unasked = {**schedule, "evaluate_every_rounds": 0}
    assert sim.run({**SHORT, "until_s": 2.0, "schedule": unasked}).warning is None


def test_rows_that_come_after_the_last_round_are_warned_of() -> None:
    schedule = {**SHORT["schedule"], "mode": "asynchronous"}
    result = sim.run({**SHORT, "schedule": schedule, "network": {"latency_s": 60.0}})
    assert result.metrics["finished"] == 1.0
    assert result.warning == NOTHING_CAME


def test_a_peer_that_is_tested_is_enough() -> None:
    slow = {"kind": "slow", "at_s": 0.0, "peers": [1, 2], "speed_ratio": 0.1}
    result = sim.run({**SHORT, "until_s": 5.0, "faults": [slow]})
    assert result.warning == (
        f"{NOTHING_CAME}; 2 of 3 honest peers that train have no test score and are in no mean: "
        "peers are tested when they are done, and in between by schedule.test_every_rounds"
    )
    assert result.metrics["tested"] == 1 / 3


def test_peers_that_wait_in_vain_have_failed() -> None:
    waiting = {"start_neighbors": 2, "start_required": True, "start_deadline_s": 5.0}
    crash = {"kind": "crash", "at_s": 0.2, "peers": [0]}
    result = sim.run({**SHORT, "schedule": {**SHORT["schedule"], **waiting}, "faults": [crash]})
    assert [report.stopped for report in result.peers] == [None, "neighbors", "neighbors"]
    assert (result.metrics["finished"], result.metrics["failed"]) == (0.0, 2 / 3)
    assert result.warning is not None
    said, _, counts = result.warning.partition("; ")
    assert said == f"2 peers gave up waiting for neighbors: {result.peers[1].trouble}"
    assert counts.endswith("of 3 peers 2 stopped (neighbors), 1 down")
