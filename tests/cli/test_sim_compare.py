"""`p2pfed sim compare`: by how much results differ."""

from pathlib import Path

import pytest

from tests.sim.results import write_run


@pytest.fixture
def folders(tmp_path):
    for seed, (one, two) in enumerate([(0.5, 0.6), (0.7, 0.9)]):
        write_run(tmp_path / "mean" / str(seed), seed=seed, accuracy=one)
        rule = {"integration.rule": "median"}
        write_run(tmp_path / "median" / str(seed), seed=seed, accuracy=two, overrides=rule)
    return ["mean", "median"]


def test_differences_and_what_was_changed(p2pfed, folders):
    found = p2pfed.json("sim", "compare", *folders)
    assert (found["interval"], found["confidence"]) == ("student-t", 0.95)
    (comparison,) = found["comparisons"]
    assert comparison["changed"] == {"integration.rule": ["mean", "median"]}
    assert comparison["seeds"] == [0, 1]
    (accuracy,) = [it for it in comparison["differences"] if it["measure"] == "mean_accuracy"]
    assert accuracy["difference"] == pytest.approx(0.15)
    assert accuracy["low"] < 0.15 < accuracy["high"]
    assert p2pfed("sim", "compare", *folders, "--confidence", 0.5) == 0
    lines = p2pfed.out.splitlines()
    assert lines[0] == "integration.rule: mean -> median"
    assert "50 % interval" in lines[1]
    (line,) = [it for it in lines if it.startswith("mean accuracy")]
    # A t interval of one degree has 0.5 between minus and plus its deviation over the root of two.
    assert line.split()[2:] == ["0.6", "0.75", "+0.15", "+0.1", "to", "+0.2", "2"]


def test_what_holds_no_results(p2pfed):
    error = p2pfed.error("sim", "compare", "nowhere", "nothing", code=2)
    assert (error["field"], error["value"]) == ("folder", "nowhere")


def test_what_is_no_pair(p2pfed, folders, tmp_path):
    write_run(Path("mean") / "9", seed=9, accuracy=0.5)
    error = p2pfed.error("sim", "compare", *folders, code=2)
    assert error["value"] == "median"
    assert "seed 9" in error["fix"]
    assert (tmp_path / "mean" / "9").exists()
