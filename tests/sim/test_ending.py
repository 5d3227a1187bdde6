"""Who is waited for at the end of a simulation, and who is not."""

from pathlib import Path
from typing import Any

import pytest

import sim
from tests.sim.short import SHORT

LATE_S = 40.0  # long after all have finished and left
ROUNDS = SHORT["schedule"]["rounds_max"]


def crash(at_s: float) -> dict[str, Any]:
    return {"kind": "crash", "at_s": at_s, "peers": [0]}


def restart(at_s: float, *, lose_disk: bool = False) -> dict[str, Any]:
    return {"kind": "restart", "at_s": at_s, "peers": [0], "lose_disk": lose_disk}


def play(**tables: Any) -> tuple[float, list[int]]:
    """Return when a short run with more tables was over, in virtual seconds, and all rounds."""
    result = sim.run({**SHORT, **tables})
    ended_s = result.metrics["virtual_s"]
    assert ended_s is not None
    return ended_s, [report.rounds for report in result.peers]


CHURN = {"kind": "churn", "at_s": LATE_S, "peers": [0], "period_s": 5.0, "down_s": 1.0}


@pytest.mark.parametrize(
    "faults",
    [
        [crash(LATE_S)],
        [restart(LATE_S)],
        [{**CHURN, "until_s": 2 * LATE_S}],
        [
            {"kind": "partition", "at_s": LATE_S, "groups": [[0]]},
            {"kind": "heal", "at_s": LATE_S + 1.0},
            {"kind": "slow", "at_s": LATE_S, "peers": [0], "speed_ratio": 0.5},
        ],
    ],
)
def test_what_happens_to_peers_that_are_done_is_not_waited_for(faults: list[Any]) -> None:
    assert play(faults=faults) == play()


def test_who_is_killed_for_good_is_not_waited_for() -> None:
    ended_s, rounds = play(faults=[crash(0.5)])
    assert ended_s < LATE_S
    assert rounds == [0, ROUNDS, ROUNDS]


def test_who_comes_back_and_is_not_done_is_waited_for() -> None:
    ended_s, rounds = play(faults=[crash(0.5), restart(LATE_S), crash(2 * LATE_S)])
    assert LATE_S < ended_s < 2 * LATE_S
    assert rounds == [ROUNDS] * 3


def test_who_loses_the_disk_trains_again_and_is_waited_for() -> None:
    ended_s, rounds = play(faults=[restart(LATE_S, lose_disk=True)])
    assert ended_s > LATE_S
    assert rounds == [2 * ROUNDS, ROUNDS, ROUNDS]


def test_who_gave_up_and_is_started_again_is_waited_for() -> None:
    schedule = {**SHORT["schedule"], "start_neighbors": 2, "start_required": True}
    schedule["start_deadline_s"] = 5.0
    apart = {"kind": "partition", "at_s": 0.0, "groups": [[0], [1], [2]]}
    faults = [apart, {"kind": "heal", "at_s": 20.0}, {**restart(LATE_S), "peers": [0, 1, 2]}]
    ended_s, rounds = play(schedule=schedule, faults=faults)
    assert ended_s > LATE_S
    assert rounds == [ROUNDS] * 3


def test_who_has_not_come_yet_is_waited_for() -> None:
    ended_s, rounds = play(availability=[{"peers": [0], "from_s": LATE_S}])
    assert ended_s > LATE_S
    assert rounds == [ROUNDS] * 3


def test_who_comes_after_the_end_is_not_waited_for(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(f"peer,from_s,until_s\n0,0,0.5\n0,{3 * LATE_S},\n1,0,\n2,0,\n")
    ended_s, rounds = play(availability=[{"path": str(trace)}], until_s=2 * LATE_S)
    assert ended_s < LATE_S
    assert rounds == [0, ROUNDS, ROUNDS]


def test_who_is_killed_before_the_start_never_starts_and_is_not_waited_for() -> None:
    ended_s, rounds = play(faults=[crash(0.0)])
    assert ended_s < LATE_S
    assert rounds == [0, ROUNDS, ROUNDS]


def test_who_is_killed_before_the_start_starts_with_a_restart() -> None:
    ended_s, rounds = play(faults=[crash(0.0), restart(LATE_S)])
    assert ended_s > LATE_S
    assert rounds == [ROUNDS] * 3
