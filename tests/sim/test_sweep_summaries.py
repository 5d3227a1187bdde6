"""What a sweep says of its cells: which warn, which failed, and what else lies in its folder."""

import json
from pathlib import Path

import pytest

from sim.scenario import load_scenario
from sim.sweeps.plan import Setting, plan_settings, run_folder
from sim.sweeps.running import SweepResult, sweep
from tests.cli.command import InProcess
from tests.sim.results import write_run
from tests.sim.short import SHORT

RULES = {"integration.rule": ["mean", "median"]}
VAIN = "no row of a neighbor was used"


def settings() -> list[Setting]:
    return plan_settings(load_scenario(SHORT), grid=RULES)


def write_cells(folder: Path, **second: str) -> SweepResult:
    """Sum up a sweep of which all is done; of the second setting's seed 1 more is said."""
    for setting in settings():
        for seed in (0, 1):
            more = second if setting.overrides["integration.rule"] == "median" and seed else {}
            place = run_folder(folder / setting.name, seed)
            write_run(place, seed=seed, accuracy=0.5, overrides=dict(setting.overrides), **more)  # type: ignore[arg-type]
    result = sweep(SHORT, folder, grid=RULES, seeds=[0, 1])
    assert result.skipped == 4
    return result


def test_warnings_of_cells_are_kept_and_told_in_a_line_per_setting(tmp_path: Path) -> None:
    result = write_cells(tmp_path, warning=VAIN)
    mean, median = result.rows
    assert (mean.warned, median.warned) == (None, f"1 of 2 runs has a warning: {VAIN}")
    kept = json.loads((tmp_path / "sweep.json").read_text())["settings"]
    assert [it["warnings"] for it in kept] == [{}, {"1": VAIN}]
    assert not result.has_failed


def test_a_cell_in_which_a_peer_gave_up_has_failed(tmp_path: Path) -> None:
    result = write_cells(tmp_path, stopped="failed")
    assert result.has_failed
    assert [row.gave_up for row in result.rows] == [(), (1,)]
    assert result.rows[0].measures["failed"] is not None
    kept = json.loads((tmp_path / "sweep.json").read_text())["settings"]
    assert [it["gave_up"] for it in kept] == [[], [1]]


def test_runs_of_other_settings_are_left_over(tmp_path: Path) -> None:
    write_run(tmp_path / "krum-1a" / "seed-0", seed=0, accuracy=0.5)
    (tmp_path / "notes").mkdir()
    result = write_cells(tmp_path)
    assert result.left_over == ("krum-1a",)
    assert result.to_json_object()["left_over"] == ["krum-1a"]


SCENARIO = """
run.name = "short"
training = { steps_per_round = 1, threads = 1 }
integration.rule = "mean"
schedule = { rounds_max = 2, linger_s = 1.0 }
topology = { name = "ring", nodes = 3 }
"""


def test_the_command_prints_them_and_ends_as_the_worst_cell_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("rules") / "krum-1a" / "seed-0", seed=0, accuracy=0.5)
    write_cells(Path("rules"), warning=VAIN, stopped="failed")
    Path("short.toml").write_text(SCENARIO)
    p2pfed = InProcess(capsys)
    words = ["--set", "integration.rule=mean,median", "--seeds", "0..1", "--out", "rules"]
    assert p2pfed("sim", "sweep", "short.toml", *words) == 1
    assert p2pfed.out.splitlines()[-3:] == [
        f"warning: integration.rule=median: 1 of 2 runs has a warning: {VAIN}",
        "failed: integration.rule=median: peers gave up in runs of seeds 1",
        "not of this sweep, and left in its folder: krum-1a",
    ]
    rules = ["rules/integration.rule=mean", "rules/integration.rule=median"]
    assert p2pfed("sim", "compare", *rules) == 0
    assert f"warning: second: 1 of 2 runs has a warning: {VAIN}" in p2pfed.out
