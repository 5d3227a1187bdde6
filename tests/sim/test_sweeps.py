"""Sweeps: what is done stays done, whatever ends them, and wherever cells run."""

import importlib.util
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import pytest

import sim.building
from p2pfed.errors import ConfigError, LocalError
from sim.documents import with_overrides
from sim.run_folder import read_run, run_into
from sim.scenario import load_scenario
from sim.sweeps import jobs, on_ray
from sim.sweeps.jobs import Ended, run_on_processes
from sim.sweeps.plan import plan_cells, plan_settings
from sim.sweeps.running import sweep
from sim.sweeps.table import measures_of, spread
from tests.sim.short import SHORT, Stickler

pytestmark = pytest.mark.slow

RULES = {"integration.rule": ["mean", "median"]}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())["trace_digest"]
        for path in folder.rglob("result.json")
    }


def test_every_cell_gets_a_run_folder_and_every_setting_a_row(tmp_path: Path) -> None:
    told: list[Ended] = []
    result = sweep(SHORT, tmp_path, grid=RULES, seeds=[0, 4], progress=told.append)
    assert [(it.cell.seed, it.error) for it in told] == [(0, None), (4, None)] * 2
    assert (result.skipped, result.failed, result.programs) == (0, (), ())
    for row, rule in zip(result.rows, ("mean", "median"), strict=True):
        runs = [read_run(tmp_path / row.setting.name / f"seed-{seed}") for seed in (0, 4)]
        assert all(it.scenario().run["integration"]["rule"] == rule for it in runs)
        accuracies = [it.result["metrics"]["mean_accuracy"] for it in runs]
        found = row.measures["mean_accuracy"]
        assert found is not None
        assert found.mean == pytest.approx(sum(accuracies) / 2)
        assert (found.least, found.largest) == (min(accuracies), max(accuracies))
        assert (row.seeds, found.count) == ((0, 4), 2)
    assert json.loads((tmp_path / "sweep.json").read_text()) == result.to_json_object()


def test_a_sweep_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    def interrupt(_ended: Ended) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(SHORT, tmp_path, grid=RULES, progress=interrupt)
    assert len(digests(tmp_path)) == 1
    told: list[Ended] = []
    result = sweep(SHORT, tmp_path, grid=RULES, progress=told.append)
    assert (result.skipped, len(told)) == (1, 1)
    assert [row.seeds for row in result.rows] == [(0,), (0,)]


def test_cells_of_another_scenario_are_not_taken_for_done(tmp_path: Path) -> None:
    sweep(SHORT, tmp_path)
    changed = with_overrides(SHORT, {"compute.training_s": 2.0})
    assert sweep(SHORT, tmp_path).skipped == 1
    assert sweep(changed, tmp_path).skipped == 0
    assert len(digests(tmp_path)) == 2


def test_a_cell_that_another_simulation_was_written_over_is_run_again(tmp_path: Path) -> None:
    (row,) = sweep(SHORT, tmp_path).rows
    run_into(tmp_path / row.setting.name / "seed-0", SHORT, seed=1)
    assert sweep(SHORT, tmp_path).skipped == 0
    (tmp_path / row.setting.name / "seed-0" / "program.json").unlink()
    assert sweep(SHORT, tmp_path).skipped == 0


@pytest.mark.parametrize("text", ["DIGEST", "[" * 100_000], ids=["bare", "deep"])
def test_a_cell_whose_result_is_damaged_is_run_again(tmp_path: Path, text: str) -> None:
    (row,) = sweep(SHORT, tmp_path).rows
    path = tmp_path / row.setting.name / "seed-0" / "result.json"
    before = path.read_text()
    bare = json.dumps({"scenario_digest": row.setting.digest, "seed": 0})
    path.write_text(bare if text == "DIGEST" else text)
    assert sweep(SHORT, tmp_path).skipped == 0
    assert path.read_text() == before


def test_processes_give_what_one_process_gives_and_end_when_told(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    sweep(SHORT, one, seeds=range(4))
    cells = plan_cells(plan_settings(load_scenario(SHORT)), range(4), two)
    running = run_on_processes(cells, 2)
    assert [next(running).error, next(running).error] == [None, None]
    assert len(multiprocessing.active_children()) == 2
    running.close()
    assert multiprocessing.active_children() == []
    assert digests(two).items() <= digests(one).items()
    assert len(digests(two)) >= 2


def test_a_cell_that_runs_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    endless = {"schedule.rounds_max": 0, "until_s": 3_000.0}  # half a minute
    settings = plan_settings(load_scenario(SHORT), settings=[endless, {}])
    long, short = plan_cells(settings, [0], tmp_path)
    running = run_on_processes([long, short], 2)
    assert next(running).cell == short
    running.close()
    assert multiprocessing.active_children() == []
    assert (long.is_done(), short.is_done()) == (False, True)


def test_a_cell_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_it = jobs.run_into

    def fail(folder: Path, scenario: Any, *, seed: int) -> Any:
        if seed == 0:
            raise LocalError("no room")
        return run_it(folder, scenario, seed=seed)

    monkeypatch.setattr(jobs, "run_into", fail)
    result = sweep(SHORT, tmp_path, seeds=[0, 1])
    assert [(it.cell.seed, it.error) for it in result.failed] == [(0, "LocalError: no room")]
    assert result.rows[0].seeds == (1,)
    monkeypatch.undo()
    assert sweep(SHORT, tmp_path, seeds=[0, 1]).failed == ()


@pytest.mark.parametrize(
    ("options", "field"),
    [({"jobs": 0}, "jobs"), ({"jobs": "2"}, "jobs"), ({"engine": "steam"}, "engine")],
)
def test_options_that_cannot_be_used(tmp_path: Path, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep(SHORT, tmp_path, **options)
    assert caught.value.field == field
    assert list(tmp_path.iterdir()) == []


def test_results_of_several_programs_are_told(tmp_path: Path) -> None:
    (row,) = sweep(SHORT, tmp_path, seeds=[0, 1]).rows
    path = tmp_path / row.setting.name / "seed-0" / "program.json"
    path.write_text(json.dumps({"p2pfed": "0.0.1", "commit": "abc"}))
    programs = sweep(SHORT, tmp_path, seeds=[0, 1]).programs
    assert len(programs) == 2
    assert programs[0] == "p2pfed 0.0.1 (abc)"


def test_measures_are_of_honest_peers() -> None:
    metrics: dict[str, Any] = dict.fromkeys(
        ("mean_accuracy", "worst_accuracy", "hostile_weight_mass", "finished", "virtual_s")
    )
    peers = [{"hostile": None}, {"hostile": "noise"}, {"hostile": None}]
    found = measures_of({"metrics": metrics, "peers": peers, "bytes_sent": [10, 1_000, 30]})
    assert found["bytes_per_peer"] == 20.0


def test_spread_leaves_out_what_is_missing() -> None:
    assert spread([None, None]) is None
    one = spread([None, 2.0])
    assert one is not None
    assert (one.mean, one.deviation, one.count) == (2.0, None, 1)
    two = spread([1.0, 3.0])
    assert two is not None
    assert two.deviation == pytest.approx(2.0**0.5)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra p2pfed[ray]")
@pytest.mark.filterwarnings("ignore")  # Ray's own, of files that it leaves to the interpreter
def test_a_local_ray_gives_what_one_process_gives(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    sweep(SHORT, one, seeds=[0, 1])
    result = sweep(SHORT, two, seeds=[0, 1], jobs=1, engine="ray")
    assert result.failed == ()
    assert digests(one) == digests(two)


def test_files_of_a_cell_that_a_checker_ended_elsewhere_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_into(tmp_path, SHORT)
    monkeypatch.setattr(sim.building, "standard_checkers", lambda: [Stickler()])
    trouble, files = on_ray.play_elsewhere(SHORT, 1)
    assert trouble is not None
    assert trouble.startswith("InvariantError: Stickler: peer")
    on_ray.write_folder(tmp_path, files)
    assert json.loads((tmp_path / "failure.json").read_text())["checker"] == "Stickler"
    assert not (tmp_path / "result.json").exists()


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LocalError, match=r"p2pfed\[ray\]"):
        sweep(SHORT, tmp_path, engine="ray")
