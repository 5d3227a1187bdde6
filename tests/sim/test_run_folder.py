"""A run folder holds what was run, with what, and what came out over virtual time."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import sim
from p2pfed.errors import ConfigError, LocalError
from sim.checkers.invariant import InvariantError
from sim.documents import digest_of, document_of, with_overrides
from sim.line_files import read_lines
from sim.result import Result
from sim.run_folder import check_folder, check_sweep_folder, make_empty, read_run, run_into
from sim.scenario import load_scenario
from sim.watching import Watcher
from tests.sim.short import SHORT, Stickler

pytestmark = pytest.mark.slow

LIAR = with_overrides(
    SHORT,
    {
        "topology": {"name": "complete", "nodes": 5},
        "integration.rule": "median",
        "schedule.mode": "synchronous",
        "adversaries": [{"peer": 0, "kind": "scaled-difference", "scale": -10.0}],
    },
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("runs") / "new" / "liar"
    return folder, run_into(folder, LIAR, seed=3)


def lines_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [it for it in read_lines(folder / "metrics.jsonl") if it["kind"] == kind]


def test_result_is_that_of_a_run_without_a_folder(made: tuple[Path, Result]) -> None:
    folder, result = made
    assert result == sim.run(LIAR, seed=3)
    assert json.loads((folder / "result.json").read_text()) == json.loads(result.to_json())


def test_folder_says_what_was_run_and_with_what(made: tuple[Path, Result]) -> None:
    folder, result = made
    found = read_run(folder)
    assert digest_of(document_of(found.scenario())) == result.scenario_digest
    assert found.seed == 3
    assert {"p2pfed", "commit", "torch", "torch_threads"} <= found.program.keys()
    assert sorted(it.name for it in folder.iterdir()) == [
        "metrics.jsonl",
        "program.json",
        "result.json",
        "scenario.toml",
    ]


def test_evaluations_are_those_of_the_result(made: tuple[Path, Result]) -> None:
    folder, result = made
    lines = lines_of(folder, "evaluation")
    for number, report in enumerate(result.peers):
        told = [(it["round"], it["at_s"], it["score"]) for it in lines if it["peer"] == number]
        assert told == [(it.round, it.at_s, it.score) for it in report.scores]
    times = [it["at_s"] for it in lines]
    assert times == sorted(times)
    sent = [it["bytes_sent"] for it in lines if it["peer"] == 1]
    assert 0 < sent[0] < sent[1] <= result.bytes_sent[1]


def test_the_swarm_is_told_once_per_evaluation_of_all_honest_peers(
    made: tuple[Path, Result],
) -> None:
    folder, result = made
    lines = lines_of(folder, "swarm")
    assert len(lines) == 3  # two rounds, and the end
    assert lines[-1]["rows_used"] == result.rows_used
    assert lines[-1]["rejected"] == result.rejected
    assert lines[-1]["events"] == result.metrics["events"]
    assert lines[-1]["bytes_sent"] == sum(result.bytes_sent)
    assert lines[0]["rejected"]["norm-cap"]["hostile"] < result.rejected["norm-cap"]["hostile"]


def test_links_add_up_to_what_peers_sent(made: tuple[Path, Result]) -> None:
    folder, result = made
    lines = lines_of(folder, "link")
    assert len(lines) == 5 * 4
    for number, sent in enumerate(result.bytes_sent):
        assert sum(it["bytes_sent"] for it in lines if it["sender"] == number) == sent


def last_distance(folder: Path, topology: str) -> float:
    scenario = {
        **SHORT,
        "integration": {"rule": "mean", "weights": "uniform"},
        "schedule": {"mode": "synchronous", "rounds_max": 1, "linger_s": 1.0},
        "topology": {"name": topology, "nodes": 4},
    }
    run_into(folder, scenario)
    distance: float = lines_of(folder, "swarm")[-1]["consensus_distance"]
    return distance


def test_consensus_distance_vanishes_where_everybody_hears_everybody(tmp_path: Path) -> None:
    assert last_distance(tmp_path, "complete") < 1e-12 < 1e-6 < last_distance(tmp_path, "ring")


def test_a_run_that_is_interrupted_leaves_whole_lines_and_no_result(tmp_path: Path) -> None:
    run_into(tmp_path, SHORT)

    class Interruption(Watcher):
        def notice_given(self, host: Any, notice: Any) -> None:  # noqa: ARG002
            if host.now_s > 2.0:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path, SHORT, watchers=[Interruption()])
    assert lines_of(tmp_path, "evaluation")
    with pytest.raises(ConfigError, match="sim run"):
        read_run(tmp_path)


def test_a_run_that_is_interrupted_leaves_no_result_of_an_earlier_one(tmp_path: Path) -> None:
    class Interrupt(Watcher):
        def event_handled(self, *_args: object) -> None:
            raise KeyboardInterrupt

    run_into(tmp_path, SHORT)
    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path, SHORT, seed=1, watchers=[Interrupt()])
    assert not (tmp_path / "result.json").exists()


def test_a_run_that_a_checker_ends_keeps_what_was_recorded(tmp_path: Path) -> None:
    run_into(tmp_path, SHORT)
    with pytest.raises(InvariantError) as caught:
        run_into(tmp_path, SHORT, seed=3, watchers=[Stickler()])
    assert re.fullmatch(
        r"Stickler: peer \d says something \(scenario 'short' with seed 3, at 2\.\d+ virtual s\)",
        str(caught.value),
    )
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert (failure["checker"], failure["result"]["seed"]) == ("Stickler", 3)
    assert failure["result"]["peers"][0]["rounds"] == 1
    assert lines_of(tmp_path, "swarm")
    assert len(lines_of(tmp_path, "link")) == 3 * 2
    assert (tmp_path / "program.json").exists()
    assert not (tmp_path / "result.json").exists()
    run_into(tmp_path, SHORT)
    assert not (tmp_path / "failure.json").exists()


def test_a_folder_whose_scenario_was_edited(tmp_path: Path) -> None:
    run_into(tmp_path, SHORT)
    path = tmp_path / "scenario.toml"
    path.write_text(path.read_text().replace("rounds_max = 2", "rounds_max = 3"))
    with pytest.raises(ConfigError, match="another scenario"):
        read_run(tmp_path).scenario()


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_result_that_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "program.json").write_text("{}")
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ConfigError, match=r"result\.json") as caught:
        read_run(tmp_path)
    assert caught.value.field == "folder"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot write"):
        run_into(tmp_path / "file" / "run", load_scenario(SHORT))


def test_a_folder_may_be_named_by_text_and_by_nothing_else(tmp_path: Path) -> None:
    run_into(str(tmp_path / "text"), SHORT)
    assert read_run(str(tmp_path / "text")).seed == 0
    given: Any = 3
    with pytest.raises(ConfigError, match="folder = 3: give a path"):
        run_into(given, SHORT)


TABLES = b'[run]\nname = "mine"\n'


@pytest.mark.parametrize("name", ["scenario.toml", "metrics.jsonl", "trace.jsonl", "program.json"])
def test_files_that_no_run_wrote_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(TABLES)
    with pytest.raises(ConfigError, match=f"has {name}, .*name another folder") as caught:
        run_into(tmp_path, SHORT)
    assert (caught.value.field, caught.value.value) == ("folder", str(tmp_path))
    assert [(it.name, it.read_bytes()) for it in tmp_path.iterdir()] == [(name, TABLES)]


def test_a_folder_of_a_run_may_be_used_again_however_early_it_was_interrupted(
    tmp_path: Path,
) -> None:
    make_empty(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    check_folder(tmp_path)
    make_empty(tmp_path)
    assert [it.name for it in tmp_path.iterdir()] == ["program.json"]


def test_what_a_run_reads_is_not_what_it_replaces(tmp_path: Path) -> None:
    make_empty(tmp_path)
    scenario = tmp_path / "scenario.toml"
    scenario.write_text("[topology]\nname = 'ring'\nnodes = 3\n")
    (tmp_path / "link.toml").symlink_to(scenario)
    for path in (scenario, tmp_path / "link.toml"):
        with pytest.raises(ConfigError, match=r"its scenario\.toml is read by this run"):
            run_into(tmp_path, path)
    assert scenario.exists()
    with pytest.raises(ConfigError, match=r"its scenario\.toml is read") as caught:
        check_folder(tmp_path, [scenario], field="out")
    assert caught.value.field == "out"


def test_the_folder_of_a_sweep_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"the folder of a sweep, it has sweep\.json; name"):
        run_into(tmp_path, SHORT)


def test_the_folder_of_a_run_is_none_of_a_sweep_however_early_it_was_interrupted(
    tmp_path: Path,
) -> None:
    check_sweep_folder(tmp_path / "none")
    check_sweep_folder(tmp_path)
    make_empty(tmp_path)
    with pytest.raises(ConfigError, match=r"the folder of a run, it has program\.json; name"):
        check_sweep_folder(tmp_path)
    with pytest.raises(ConfigError, match="the folder of a run") as caught:
        sim.sweep(SHORT, tmp_path)
    assert caught.value.field == "folder"
    assert [it.name for it in tmp_path.iterdir()] == ["program.json"]
