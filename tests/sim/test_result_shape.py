"""Results that are damaged, missing or of runs that failed: what readers are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pfed.errors import ConfigError
from sim.report.readings import read_metrics
from sim.result_shape import has_failures, misshapen
from sim.run_folder import read_run, run_into
from sim.watching import Watcher
from tests.sim.results import write_run
from tests.sim.short import SHORT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "a run"
    write_run(place, seed=3, accuracy=0.5)
    return place


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def fix_of(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_run(folder)
    assert (caught.value.field, caught.value.value) == ("folder", str(folder))
    return caught.value.fix


@pytest.mark.parametrize(
    "field",
    ["scenario", "seed", "metrics", "peers", "rows_used", "rejected", "warning", "trace_digest"],
)
def test_a_field_that_is_missing_is_named(folder: Path, field: str) -> None:
    path = folder / "result.json"
    result = json.loads(path.read_text())
    del result[field]
    path.write_text(json.dumps(result))
    assert fix_of(folder).startswith(
        f"its result.json is damaged, or of another program ({field}: Field required); "
        f"run it again: p2pfed sim run '{folder}/scenario.toml' --seed"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": -1}, "seed: "),
        ({"seed": "3"}, "seed: "),
        ({"metrics": []}, "metrics: "),
        ({"metrics": {"finished": "all"}}, "metrics.finished: "),
        ({"peers": [3]}, "peers.0: "),
        ({"peers": []}, "bytes_sent and peers are not of one length"),
        ({"rejected": {"norm-cap": 3}}, "rejected.norm-cap: "),
    ],
)
def test_a_field_of_another_form_is_named(folder: Path, fields: Any, said: str) -> None:
    edit(folder, **fields)
    assert said in fix_of(folder)


def test_what_nests_deeper_than_python_goes_cannot_be_read(folder: Path) -> None:
    (folder / "result.json").write_text("[" * 100_000)
    assert "its result.json cannot be read" in fix_of(folder)
    (folder / "metrics.jsonl").write_text("[" * 100_000)
    write_run(folder.parent / "other", seed=3, accuracy=0.5)
    (folder.parent / "other" / "metrics.jsonl").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="line 1 is no JSON"):
        read_metrics(read_run(folder.parent / "other"))


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        '{"kind": "evaluation", "peer": 0}',
        '{"kind": "evaluation", "peer": 7, "score": 0.5, "at_s": 1, "round": 0, "bytes_sent": 1}',
        '{"kind": "evaluation", "peer": 0, "score": "a", "at_s": 1, "round": 0, "bytes_sent": 1}',
        '{"kind": "swarm", "consensus_distance": [], "at_s": 1.0}',
        '{"kind": "link", "sender": 0, "receiver": [], "bytes_sent": 1}',
    ],
)
def test_lines_that_are_no_metrics_are_named(folder: Path, line: str) -> None:
    (folder / "metrics.jsonl").write_text(f'{{"kind": "of a later version"}}\n{line}\n')
    with pytest.raises(ConfigError, match="line 2 is none of a simulation's metrics"):
        read_metrics(read_run(folder))


def test_metrics_that_are_empty_are_said_to_be(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(ConfigError, match="is empty; run it again"):
        read_metrics(read_run(folder))


def test_peers_that_gave_up_are_failures() -> None:
    peers = [{"hostile": None}, {"hostile": None, "stopped": "rounds"}]
    assert not has_failures({"peers": peers})
    assert has_failures({"peers": [*peers, {"hostile": "stale", "stopped": "failed"}]})
    assert misshapen({}) == "scenario: Field required"


@pytest.mark.slow
def test_a_run_that_an_error_ended_says_which_and_how_to_play_it_again(tmp_path: Path) -> None:
    class Careless(Watcher):
        def notice_given(self, *_: object) -> None:
            raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        run_into(tmp_path, SHORT, seed=4, watchers=[Careless()])
    failure = json.loads((tmp_path / "failure.json").read_text())
    assert failure == {"kind": "ZeroDivisionError", "message": "by zero", "seed": 4}
    assert fix_of(tmp_path) == (
        "its run failed (ZeroDivisionError: by zero); run it again: "
        f"p2pfed sim run {tmp_path}/scenario.toml --seed 4"
    )
    assert (tmp_path / "program.json").exists()


def test_a_run_that_was_interrupted_says_so(folder: Path) -> None:
    (folder / "result.json").unlink()
    assert "its run did not come to its end; run it again: p2pfed sim run" in fix_of(folder)


def test_the_folder_of_a_sweep_names_its_run_folders(tmp_path: Path) -> None:
    for seed in range(4):
        write_run(tmp_path / "mean-1" / f"seed-{seed}", seed=seed, accuracy=0.5)
    runs = ", ".join(str(tmp_path / "mean-1" / f"seed-{seed}") for seed in range(3))
    said = f"name one of its run folders: {runs} and 1 more"
    assert fix_of(tmp_path / "mean-1") == f"is the folder of several runs; {said}"
    (tmp_path / "sweep.json").write_text("{}")
    assert fix_of(tmp_path) == f"is the folder of a sweep; {said}"
    assert "make one: p2pfed sim run" in fix_of(tmp_path / "nothing")
