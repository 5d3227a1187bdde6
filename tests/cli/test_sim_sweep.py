"""`p2pfed sim sweep`: many runs, and what they come to."""

import json
import shlex

import pytest

pytestmark = pytest.mark.slow

SCENARIO = """
[run]
name = "short"
[training]
steps_per_round = 1
[integration]
rule = "mean"
[schedule]
rounds_max = 2
[topology]
name = "ring"
nodes = 3
"""
RULES = ["--set", "integration.rule=mean,median", "--seeds", "0..1", "--jobs", "1"]


@pytest.fixture
def scenario(tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)


@pytest.mark.usefixtures("scenario")
def test_a_sweep_has_a_row_per_setting(p2pfed):
    found = p2pfed.json("sim", "sweep", "short.toml", *RULES, "--out", "rules")
    assert (found["scenario"], found["folder"], found["skipped"]) == ("short", "rules", 0)
    assert [it["overrides"]["integration.rule"] for it in found["settings"]] == ["mean", "median"]
    assert [it["seeds"] for it in found["settings"]] == [[0, 1]] * 2
    assert p2pfed("sim", "sweep", "short.toml", *RULES, "--out", "rules") == 0
    (line,) = [it for it in p2pfed.out.splitlines() if "rule=median" in it]
    measures = found["settings"][1]["measures"]
    mean = measures["mean_accuracy"]["mean"]
    assert line.split()[:4] == ["integration.rule=median", "2", f"{mean:.4g}", "±"]


@pytest.mark.usefixtures("scenario")
def test_commands_of_a_list_do_what_the_sweep_would(p2pfed):
    listed = p2pfed.json("sim", "sweep", "short.toml", *RULES, "--out", "rules", "--list")
    assert len(listed["commands"]) == 4
    for command in listed["commands"][1:]:
        program, *words = shlex.split(command)
        assert program == "p2pfed"
        assert p2pfed(*words) == 0
    assert p2pfed("sim", "sweep", "short.toml", *RULES, "--out", "rules", "--list") == 0
    assert p2pfed.out.strip() == listed["commands"][0]
    assert p2pfed.json("sim", "sweep", "short.toml", *RULES, "--out", "rules")["skipped"] == 3


@pytest.mark.usefixtures("scenario")
def test_commands_of_a_list_run_from_anywhere(p2pfed, tmp_path, monkeypatch):
    (tmp_path / "sites.txt").write_text("rome oslo\noslo lima\n", encoding="utf-8")
    file = ["--set", "topology.name=file", "--set", "topology.path=sites.txt"]
    words = ["sim", "sweep", "short.toml", *file, "--out", "sites"]
    [command] = p2pfed.json(*words, "--list")["commands"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert p2pfed(*shlex.split(command)[1:]) == 0
    monkeypatch.chdir(tmp_path)
    assert p2pfed.json(*words, "--list")["commands"] == []


@pytest.mark.usefixtures("scenario")
def test_progress_goes_to_standard_error(p2pfed):
    assert p2pfed("sim", "sweep", "short.toml", "--seeds", "3", "--out", "one") == 0
    assert "1 of 1: as-written-" in p2pfed.err
    assert "seed 3" in p2pfed.err


@pytest.mark.usefixtures("scenario")
def test_a_file_of_settings(p2pfed, tmp_path):
    (tmp_path / "list.toml").write_text("[[settings]]\n[[settings]]\ntopology.nodes = 4\n")
    words = ["--settings", "list.toml", "--out", "two", "--list"]
    commands = p2pfed.json("sim", "sweep", "short.toml", *words)["commands"]
    assert ["topology.nodes=4" in it for it in commands] == [False, True]


@pytest.mark.usefixtures("scenario")
def test_a_cell_that_fails_is_told_and_the_exit_code_is_1(p2pfed, tmp_path):
    fails = "def make():\n    raise ZeroDivisionError('by zero')\n"
    (tmp_path / "failing_task.py").write_text(fails)
    words = ["--set", "run.task=digits,failing_task:make", "--jobs", "1", "--out", "tasks"]
    found = p2pfed.json("sim", "sweep", "short.toml", *words, code=1)
    (failed,) = found["failed"]
    assert failed["error"] == "ZeroDivisionError: by zero"
    assert [it["seeds"] for it in found["settings"]] == [[0], []]
    assert "2 of 2 failed: run.task=failing_task_make-" in p2pfed.err
    assert "by zero" in p2pfed.err


STOPS_AT_FIRST = """
from pathlib import Path
from p2pfed.learn.tasks import load_task

def make():
    if not Path("go-on").exists():
        raise KeyboardInterrupt
    return load_task("digits", None)
"""


@pytest.mark.parametrize(
    ("tasks", "done"), [("stopping_task:make,digits", 0), ("digits,stopping_task:make", 1)]
)
@pytest.mark.usefixtures("scenario")
def test_interruption_says_what_is_done_and_the_same_command_does_the_rest(
    p2pfed, tmp_path, tasks, done
):
    (tmp_path / "stopping_task.py").write_text(STOPS_AT_FIRST)
    words = ["sim", "sweep", "short.toml", "--set", f"run.task={tasks}", "--jobs", "1"]
    assert p2pfed(*words, "--out", "tasks") == 130
    assert f"{done} of 2 cells are done" in p2pfed.err
    assert len(list((tmp_path / "tasks").rglob("result.json"))) == done
    (tmp_path / "go-on").touch()
    found = p2pfed.json(*words, "--out", "tasks")
    assert (found["skipped"], [it["seeds"] for it in found["settings"]]) == (done, [[0], [0]])


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--set", "integration.rule"), "set"),
        (("--set", "topology.nodes=4,many"), "topology.nodes"),
        (("--seeds", "4..1"), "seeds"),
        (("--settings", "nowhere.toml"), "settings"),
    ],
)
@pytest.mark.usefixtures("scenario")
def test_bad_values(p2pfed, words, field, tmp_path):
    error = p2pfed.error("sim", "sweep", "short.toml", *words, "--out", "rules", code=2)
    assert error["field"] == field
    assert not (tmp_path / "rules").exists()


def test_summary_stands_in_the_folder(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    found = p2pfed.json("sim", "sweep", "short.toml", "--out", "one")
    kept = json.loads((tmp_path / "one" / "sweep.json").read_text())
    assert kept == {name: it for name, it in found.items() if name not in ("folder", "skipped")}


@pytest.mark.parametrize("words", [[], ["--list"]])
@pytest.mark.usefixtures("scenario")
def test_the_folder_of_a_run_is_none_of_a_sweep(p2pfed, tmp_path, words):
    assert p2pfed("sim", "run", "short.toml", "--out", "one") == 0
    before = sorted((tmp_path / "one").iterdir())
    error = p2pfed.error("sim", "sweep", "short.toml", "--out", "one", *words, code=2)
    assert (error["field"], error["value"]) == ("out", "one")
    assert "is the folder of a run" in error["fix"]
    assert sorted((tmp_path / "one").iterdir()) == before
