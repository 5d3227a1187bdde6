"""Several processes play a scenario as one does."""

import json
import multiprocessing
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import sim
from p2pfed.core.notices import Notice
from p2pfed.errors import ConfigError, LocalError
from sim.checkers.invariant import InvariantError
from sim.documents import with_overrides
from sim.parts.parcels import portable_error
from sim.parts.playing import InParts
from sim.run_folder import run_into
from sim.scenario import load_scenario
from sim.watching import Watcher
from tests.sim.short import SHORT

RING = with_overrides(SHORT, {"topology.nodes": 4, "compute.jobs": "sequential"})
TWO = with_overrides(RING, {"compute.processes": 2})
HARD: dict[str, Any] = {
    "topology": {"name": "k-regular", "nodes": 8, "degree": 4},
    "network": {"loss_ratio": 0.02, "bandwidth_bytes_per_s": 1e6},
    "adversaries": [{"kind": "sign-flip", "peer": 1}, {"kind": "replay", "peer": 6}],
    "faults": [
        {"kind": "crash", "at_s": 1.2, "peers": [2, 5]},
        {"kind": "partition", "at_s": 1.5, "groups": [[0, 4]]},
        {"kind": "restart", "at_s": 3.0, "peers": [2, 5]},
        {"kind": "heal", "at_s": 4.0},
    ],
    "schedule.evaluate_every_rounds": 1,
    "schedule.rounds_max": 3,
}


def lines_of(folder: Path, kind: str) -> list[Any]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


@pytest.mark.slow
def test_two_processes_play_what_one_plays(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run_into(one, with_overrides(RING, HARD), seed=3)
    in_parts = run_into(two, with_overrides(TWO, HARD), seed=3)
    assert alone.rows_used["hostile"]
    assert alone.scenario_digest != in_parts.scenario_digest
    left_out = {"scenario_digest"}
    found = [json.loads(it.to_json()) for it in (alone, in_parts)]
    first, second = ({k: v for k, v in it.items() if k not in left_out} for it in found)
    assert first == second
    for kind in ("evaluation", "link"):
        assert lines_of(one, kind) == lines_of(two, kind) != []
    # Told in the middle, one is of the moment and the other of the end of a step.
    last_one, last_two = lines_of(one, "swarm")[-1], lines_of(two, "swarm")[-1]
    distance = last_two.pop("consensus_distance")
    assert distance == pytest.approx(last_one.pop("consensus_distance"))
    assert last_one == last_two
    assert multiprocessing.active_children() == []


class Interruption(Watcher):
    def notice_given(self, host: Any, notice: Notice) -> None:  # noqa: ARG002
        raise KeyboardInterrupt


@pytest.mark.slow
def test_other_processes_end_with_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt):
        sim.run(TWO, watchers=[Interruption()])
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_of() -> None:
    with closing(InParts(load_scenario(TWO), 0, [])) as player:
        [other] = multiprocessing.active_children()
        other.kill()
        with pytest.raises(LocalError, match=f"ended with code -{signal.SIGKILL:d}"):
            player.play()


def test_edges_without_a_delay_need_one_process() -> None:
    with pytest.raises(ConfigError, match=r"compute\.processes = 2: write 1; or let every"):
        sim.run(with_overrides(TWO, {"network.latency_s": 0.0}))


def test_more_processes_than_peers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"compute\.processes = 5: write at most 4"):
        load_scenario(with_overrides(TWO, {"compute.processes": 5}))


def test_a_trace_needs_one_process(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set compute\.processes = 1"):
        run_into(tmp_path, TWO, trace=tmp_path / "trace.jsonl")


class Looks(Watcher):
    def world_checked(self, world: Any) -> None: ...


def test_a_watcher_that_wants_to_see_more_than_notices_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"watchers = .*Looks.*: leave out its world_checked"):
        sim.run(TWO, watchers=[Looks()])


def test_errors_cross_processes_as_they_are_or_as_what_they_say() -> None:
    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    wrong = ConfigError("field", 1, "write 2")
    assert portable_error(wrong) is wrong
    assert str(portable_error(Odd(1, 2))) == "Odd: 1 and 2"
    assert isinstance(portable_error(InvariantError("Checker", "detail")), InvariantError)
