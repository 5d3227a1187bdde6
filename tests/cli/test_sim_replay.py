"""`p2pfed sim replay` and `sim trace-diff`: whether two runs are the same, and where they part."""

import json

import pytest

from tests.cli.test_sim import SCENARIO

pytestmark = pytest.mark.slow


@pytest.fixture
def traced(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    words = ["--out", "results", "--trace", "results/trace.jsonl"]
    return p2pfed.json("sim", "run", "short.toml", *words)


def test_replay_of_the_same_program(p2pfed, traced):
    found = p2pfed.json("sim", "replay", "results")
    assert found["is_same"]
    assert found["recorded"] == found["now"] == traced["trace_digest"]
    assert p2pfed("sim", "replay", "results") == 0
    assert "same          yes" in p2pfed.out


@pytest.mark.usefixtures("traced")
def test_replay_of_something_else_ends_with_1_and_names_the_first_event(p2pfed, tmp_path):
    result = tmp_path / "results" / "result.json"
    changed = json.loads(result.read_text()) | {"trace_digest": "00" * 32}
    result.write_text(json.dumps(changed))
    trace = tmp_path / "results" / "trace.jsonl"
    lines = trace.read_text().splitlines(keepends=True)
    trace.write_text("".join(lines[:20] + lines[21:]))
    assert p2pfed("sim", "replay", "results") == 1
    assert "part at event 21" in p2pfed.out
    trace.unlink()
    assert not p2pfed.json("sim", "replay", "results", code=1)["is_same"]
    assert p2pfed("sim", "replay", "results") == 1
    assert "--trace" in p2pfed.out


def test_replay_with_the_trace_of_another_run_ends_with_1_and_says_so(p2pfed, traced):
    words = ["--set", "network.latency_s=0.03", "--trace", "later.jsonl"]
    p2pfed.json("sim", "run", "short.toml", *words)
    found = p2pfed.json("sim", "replay", "results", "--trace", "later.jsonl", code=1)
    assert (found["is_same"], found["fields"]) == (False, [])
    assert found["recorded"] == found["now"] == traced["trace_digest"]
    assert p2pfed("sim", "replay", "results", "--trace", "later.jsonl") == 1
    said = " ".join(p2pfed.out.split())
    assert "same no" in said
    assert "the trace alone" in said
    assert f"the traces part at event {found['parting']['number']}" in said
    assert "the trace is of another run" in said


def test_replay_names_the_plug_in_that_was_edited(p2pfed, tmp_path):
    rule = "import robust\nrobust.register('first', lambda vectors: vectors[{}])\n"
    (tmp_path / "own.py").write_text(rule.format(0))
    (tmp_path / "short.toml").write_text(f'{SCENARIO}\n[plugins]\nfiles = ["own.py"]\n')
    p2pfed.json("sim", "run", "short.toml", "--out", "results")
    program = tmp_path / "results" / "program.json"
    found = json.loads(program.read_text())
    found["files"] = {name: "00" * 32 for name in found["files"]}  # as before an edit
    program.write_text(json.dumps(found))
    assert list(p2pfed.json("sim", "replay", "results")["files"]) == [str(tmp_path / "own.py")]
    assert p2pfed("sim", "replay", "results") == 0
    assert "own.py" in p2pfed.out


def test_traces_of_two_latencies_part(p2pfed, traced):
    words = ["--set", "network.latency_s=0.03", "--trace", "other.jsonl"]
    assert p2pfed.json("sim", "run", "short.toml", *words)["trace_digest"] != traced["trace_digest"]
    found = p2pfed.json("sim", "trace-diff", "results/trace.jsonl", "other.jsonl", code=1)
    number = found["parting"]["number"]
    assert p2pfed("sim", "trace-diff", "results/trace.jsonl", "other.jsonl") == 1
    signs = [line[0] for line in p2pfed.out.splitlines()[1:]]
    assert signs == [" "] * 3 + ["-"] * 3 + ["+"] * 3
    assert f"- {number} " in p2pfed.out
    assert p2pfed("sim", "trace-diff", "other.jsonl", "other.jsonl") == 0
    assert "the same" in p2pfed.out


def test_what_is_no_run_and_no_trace(p2pfed, tmp_path):
    assert p2pfed.error("sim", "replay", "nowhere", code=2)["field"] == "folder"
    (tmp_path / "some.jsonl").write_text("{}\n")
    error = p2pfed.error("sim", "trace-diff", "some.jsonl", "some.jsonl", code=2)
    assert error["field"] == "trace"
