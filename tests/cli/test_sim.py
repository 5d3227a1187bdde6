"""`p2pfed sim run`: from a scenario file to one result."""

import json

import pytest

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
nodes = 3
"""


def test_result_and_its_file(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    found = p2pfed.json("sim", "run", "short.toml", "--seed", 2, "--out", "results")
    assert (found["scenario"], found["seed"]) == ("short", 2)
    assert found["metrics"]["finished"] == 1.0
    assert len(found["bytes_sent"]) == len(found["peers"]) == 3
    assert json.loads((tmp_path / "results" / "result.json").read_text()) == found
    assert p2pfed("sim", "run", "short.toml", "--seed", 2) == 0
    assert found["trace_digest"] in p2pfed.out


def test_field_that_does_not_exist(p2pfed, tmp_path):
    (tmp_path / "bad.toml").write_text(SCENARIO + "degre = 4\n[network]\nlatency = 1\n")
    error = p2pfed.error("sim", "run", "bad.toml", code=2)
    assert error["field"] == "network.latency"
