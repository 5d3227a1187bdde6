"""`p2pfed sim run`: from a scenario file to one result."""

import json
import shlex
import signal

import pytest

from sim.checkers.invariant import fail
from sim.watching import Watcher
from tests.cli.command import Process

pytestmark = pytest.mark.slow

SCENARIO = """
[run]
name = "short"
[training]
steps_per_round = 1
threads = 1
[schedule]
rounds_max = 2
[topology]
name = "ring"
nodes = 4
"""


def test_result_and_its_file(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    found = p2pfed.json("sim", "run", "short.toml", "--seed", 2, "--out", "results")
    assert (found["scenario"], found["seed"]) == ("short", 2)
    assert found["metrics"]["finished"] == 1.0
    assert len(found["bytes_sent"]) == len(found["peers"]) == 4
    assert json.loads((tmp_path / "results" / "result.json").read_text()) == found
    assert p2pfed("sim", "run", "short.toml", "--seed", 2) == 0
    assert found["trace_digest"] in p2pfed.out


def test_a_run_that_a_checker_ends_says_how_to_play_it_again(p2pfed, tmp_path, monkeypatch):
    class Stickler(Watcher):
        def world_checked(self, world):  # noqa: ARG002
            fail(self, "nothing is right")

    monkeypatch.setattr("sim.building.standard_checkers", lambda: [Stickler()])
    (tmp_path / "short.toml").write_text(SCENARIO)
    words = ["sim", "run", "short.toml", "--seed", 2, "--set", "training.step_rule={name='sgd'}"]
    error = p2pfed.error(*words, "--out", "kept", code=1)
    assert error["kind"] == "InvariantError"
    found, again, where = error["message"].splitlines()
    assert found.startswith("Stickler: nothing is right (scenario 'short' with seed 2, at ")
    command = shlex.split(again.partition("again: ")[2])
    assert command == ["p2pfed", *map(str, words)]
    assert where.endswith(" kept")
    assert json.loads((tmp_path / "kept" / "failure.json").read_text())["checker"] == "Stickler"


HOSTILE = """
[integration]
rule = "median"
norm_cap_ratio = 3.0
[[adversaries]]
peer = 0
kind = "scaled-difference"
scale = -10.0
"""


def test_reasons_are_counted_by_whose_rows_they_concern(p2pfed, tmp_path):
    (tmp_path / "hostile.toml").write_text(SCENARIO.replace('"ring"', '"complete"') + HOSTILE)
    found = p2pfed.json("sim", "run", "hostile.toml")
    assert found["rejected"]["norm-cap"]["hostile"] > 0
    assert found["rejected"]["norm-cap"]["honest"] == 0
    assert found["rows_used"]["honest"] > 0
    assert p2pfed("sim", "run", "hostile.toml") == 0
    (line,) = [line for line in p2pfed.out.splitlines() if line.startswith("norm-cap")]
    count = found["rejected"]["norm-cap"]["hostile"]
    assert line.split()[1:] == ["0", str(count), "peer", "0:", str(count)]
    assert found["rejected_peers"]["norm-cap"] == {"peers": {"0": count}, "more": 0}
    assert found["warning"] is None


def test_a_crowd_of_peers_is_not_shown_one_by_one(p2pfed, tmp_path):
    crowd = SCENARIO.replace("rounds_max = 2", 'rounds_max = 1\nmode = "synchronous"')
    crowd = crowd.replace("nodes = 4", "nodes = 53")
    (tmp_path / "crowd.toml").write_text('fidelity = "rounds"\n' + crowd)
    assert p2pfed("sim", "run", "crowd.toml") == 0
    first = [line.split()[0] for line in p2pfed.out.splitlines() if line[:1].isdigit()]
    assert first == [str(number) for number in range(50)]
    assert "and 3 more peers" in p2pfed.out


def test_reasons_have_one_column_where_nobody_is_hostile(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    found = p2pfed.json("sim", "run", "short.toml")
    assert p2pfed("sim", "run", "short.toml") == 0
    (line,) = [line for line in p2pfed.out.splitlines() if line.startswith("used")]
    assert line.split()[1:] == [str(found["rows_used"]["honest"])]


def test_a_reason_stays_on_one_line_however_many_peers_it_concerns(p2pfed, tmp_path):
    text = SCENARIO.replace('"ring"', '"complete"').replace("nodes = 4", "nodes = 9")
    (tmp_path / "many.toml").write_text(text + '[integration]\nrule = "krum"\n')
    assert p2pfed("sim", "run", "many.toml") == 0
    (line,) = [line for line in p2pfed.out.splitlines() if line.startswith("not-chosen")]
    assert line.rstrip().endswith("and 4 more peers")


def test_field_that_does_not_exist(p2pfed, tmp_path):
    (tmp_path / "bad.toml").write_text(SCENARIO + "degre = 4\n[network]\nlatency = 1\n")
    error = p2pfed.error("sim", "run", "bad.toml", code=2)
    assert error["field"] == "network.latency"


def test_a_run_in_which_no_row_was_used_says_so(p2pfed, tmp_path):
    rule = '[integration]\nrule = "bucketing+median"\n'
    in_step = SCENARIO.replace("rounds_max = 2", 'rounds_max = 2\nmode = "synchronous"')
    (tmp_path / "short.toml").write_text(in_step + rule)
    found = p2pfed.json("sim", "run", "short.toml")
    assert found["rows_used"] == {"honest": 0, "hostile": 0}
    assert "Bucketing with byzantine_count=1 needs 5 rows, got 3" in found["warning"]
    assert p2pfed("sim", "run", "short.toml") == 0
    assert f"warning: {found['warning']}" in p2pfed.out


def test_fields_can_be_set_and_are_kept_with_the_result(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    words = ["--set", "topology.nodes=3", "--set", "network.latency_s=0.1", "--out", "two"]
    found = p2pfed.json("sim", "run", "short.toml", *words)
    assert len(found["peers"]) == 3
    again = p2pfed.json("sim", "run", "two/scenario.toml")
    assert again == found
    error = p2pfed.error("sim", "run", "short.toml", "--set", "topology.nodes=none", code=2)
    assert (error["field"], error["value"]) == ("topology.nodes", "none")


def test_a_folder_that_cannot_be_written(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    error = p2pfed.error("sim", "run", "short.toml", "--out", "short.toml/results", code=3)
    assert "cannot write" in error["message"]


DIVERGING = """
[training]
steps_per_round = 4
threads = 1
step_rule = { name = "sgd", learning_rate = 1e30 }
"""


def test_a_run_in_which_training_fails_says_why_and_ends_with_an_error(p2pfed, tmp_path):
    text = SCENARIO.replace("[training]\nsteps_per_round = 1\nthreads = 1\n", DIVERGING)
    (tmp_path / "diverging.toml").write_text(text)
    found = p2pfed.json("sim", "run", "diverging.toml", "--out", "results", code=1)
    assert (found["metrics"]["finished"], found["metrics"]["failed"]) == (0.0, 1.0)
    assert [peer["stopped"] for peer in found["peers"]] == ["failed"] * 4
    assert "diverged (loss nan)" in found["peers"][2]["trouble"]
    said = "12 jobs failed at 4 peers, 4 of which gave up training: "
    assert found["warning"].startswith(said)
    assert "diverged (loss nan)" in found["warning"]
    assert json.loads((tmp_path / "results" / "result.json").read_text()) == found
    assert p2pfed("sim", "run", "diverging.toml") == 1
    assert f"warning: {found['warning']}" in p2pfed.out


PRIVACY = """
[privacy]
enabled = true
noise_multiplier = 4.0
epsilon_max = 3.0
[[adversaries]]
peer = 0
kind = "sign-flip"
"""


def test_a_private_run_says_what_was_spent(p2pfed, tmp_path):
    (tmp_path / "private.toml").write_text(SCENARIO + PRIVACY)
    found = p2pfed.json("sim", "run", "private.toml")
    hostile, *honest = (peer["privacy"] for peer in found["peers"])
    assert hostile is None
    assert {spent["releases"] for spent in honest} == {2}
    most = max(spent["epsilon"] for spent in honest)
    least = min(spent["epsilon_left"] for spent in honest)
    assert 0.0 < most < 3.0
    assert p2pfed("sim", "run", "private.toml") == 0
    (line,) = [line for line in p2pfed.out.splitlines() if line.startswith("privacy")]
    said = f"at most epsilon {most:.3f} spent and at least {least:.3f} left, 2 releases a peer"
    assert said in line


def test_a_run_without_privacy_says_nothing_of_it(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    found = p2pfed.json("sim", "run", "short.toml")
    assert [peer["privacy"] for peer in found["peers"]] == [None] * 4
    assert p2pfed("sim", "run", "short.toml") == 0
    assert "privacy" not in p2pfed.out


def test_a_liar_that_gives_up_is_no_success_of_a_defense(p2pfed, tmp_path):
    rate = "[[variants]]\npeers = [0]\nfields = { 'training.step_rule.learning_rate' = 1e30 }\n"
    rounds = SCENARIO.replace("rounds_max = 2", "rounds_max = 9")
    (tmp_path / "giving_up.toml").write_text(rounds + HOSTILE + rate)
    found = p2pfed.json("sim", "run", "giving_up.toml", code=1)
    assert found["metrics"]["failed"] == 0.0
    assert found["peers"][0]["stopped"] == "failed"
    assert found["warning"].startswith("hostile peer 0 (scaled-difference) gave up")


def test_a_run_in_which_peers_wait_in_vain_ends_with_an_error(p2pfed, tmp_path):
    waiting = "[schedule]\nstart_neighbors = 2\nstart_required = true\nstart_deadline_s = 5.0\n"
    absent = '\n[[faults]]\nkind = "crash"\nat_s = 0.2\npeers = [1]\n'
    (tmp_path / "waiting.toml").write_text(SCENARIO.replace("[schedule]\n", waiting) + absent)
    found = p2pfed.json("sim", "run", "waiting.toml", code=1)
    assert found["peers"][0]["trouble"].endswith("of 2 neighbors came within 5 s")


TELLS_WHEN_IT_INTEGRATES = """
import sys
import robust

def first(vectors):
    print("integrated", file=sys.stderr, flush=True)
    return vectors[0]

robust.register("telling", first)
"""


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_says_so_and_keeps_what_was_recorded(tmp_path, processes, number):
    (tmp_path / "own.py").write_text(TELLS_WHEN_IT_INTEGRATES)
    own = '\n[plugins]\nfiles = ["own.py"]\n[integration]\nrule = "telling"\n'
    (tmp_path / "long.toml").write_text(SCENARIO.replace("max = 2", "max = 100000") + own)
    words = ["--set", f"compute.processes={processes}", "--out", "results"]
    with Process("sim", "run", "long.toml", *words, cwd=tmp_path) as command:
        for _ in range(20):  # all peers have finished rounds by then
            command.line("integrated")
        command.signal(number)
        command.line("p2pfed: interrupted")
        assert command.end()[0] == 130
    lines = (tmp_path / "results" / "metrics.jsonl").read_text().splitlines()
    assert "evaluation" in {json.loads(line)["kind"] for line in lines}
    assert not (tmp_path / "results" / "result.json").exists()


TERMINATED_AT_SECOND = """
import os, signal
from pathlib import Path
from p2pfed.learn.tasks import load_task

def make():
    if Path("terminate").exists():
        os.kill(os.getpid(), signal.SIGTERM)
    return load_task("digits", None)
"""


@pytest.mark.parametrize("words", [["replay", "one"], ["sweep", "short.toml", "--out", "all"]])
def test_commands_that_simulate_heed_both_signals(p2pfed, tmp_path, words):
    (tmp_path / "own_task.py").write_text(TERMINATED_AT_SECOND)
    (tmp_path / "short.toml").write_text(SCENARIO.replace("[run]", '[run]\ntask = "own_task:make"'))
    assert p2pfed("sim", "run", "short.toml", "--out", "one") == 0
    (tmp_path / "terminate").touch()
    jobs = ["--jobs", "1"] if words[0] == "sweep" else []
    with Process("sim", *words, *jobs, cwd=tmp_path) as command:
        command.line("p2pfed: interrupted")
        assert command.end()[0] == 130
