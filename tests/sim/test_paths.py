"""Files that a scenario names: from its own folder, wherever the program was started."""

import os
from pathlib import Path

import pytest
import tomli_w

from p2pfed.errors import ConfigError
from p2pfed.limits import SIMULATED_PEERS_MAX
from sim.documents import document_of, with_overrides
from sim.named_files import file_digests
from sim.run_folder import read_run, run_into
from sim.scenario import load_scenario
from tests.sim.short import SHORT

BESIDE = {
    "topology": {"name": "file", "nodes": 3, "path": "sites.txt"},
    "availability": [{"path": "trace.csv"}],
    "plugins": {"files": ["own.py"]},
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder with all that a scenario may name."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sites.txt").write_text("rome oslo\noslo lima\n", encoding="utf-8")
    (folder / "trace.csv").write_text("peer,from_s,until_s\n1,0,10\n", encoding="utf-8")
    (folder / "own.py").write_text("", encoding="utf-8")
    return folder


def write(place: Path, **tables: object) -> Path:
    place.write_text(tomli_w.dumps({**SHORT, **tables}), encoding="utf-8")
    return place


def named_by(path: str | Path | dict[str, object]) -> list[str]:
    document = document_of(load_scenario(path))
    (trace,) = document["availability"]
    return [document["topology"]["path"], trace["path"], *document["plugins"]["files"]]


def whole(site: Path) -> list[str]:
    return [str(site / name) for name in ("sites.txt", "trace.csv", "own.py")]


def test_paths_are_from_the_folder_of_the_scenario(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site / "scenario.toml", **BESIDE)
    monkeypatch.chdir(tmp_path)
    assert named_by(Path("site/scenario.toml")) == whole(site)
    assert named_by(Path(os.pardir) / tmp_path.name / "site" / "scenario.toml") == whole(site)


def test_whole_paths_are_what_they_say(site: Path, tmp_path: Path) -> None:
    graph, trace, plugin = whole(site)
    elsewhere = write(
        tmp_path / "scenario.toml",
        topology={"name": "file", "nodes": 3, "path": graph},
        availability=[{"path": trace}],
        plugins={"files": [plugin]},
    )
    assert named_by(elsewhere) == whole(site)


def test_paths_of_a_mapping_are_from_where_the_program_runs(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site)
    assert named_by({**SHORT, **BESIDE}) == whole(site)


def test_a_path_that_is_set_is_from_where_the_program_runs(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario(write(site / "scenario.toml", **BESIDE))
    (tmp_path / "own.csv").write_text("peer,from_s,until_s\n2,0,10\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    changed = with_overrides(document_of(scenario), {"availability.0.path": "own.csv"})
    assert named_by(changed)[1] == str(tmp_path / "own.csv")


@pytest.mark.slow
def test_a_run_folder_is_run_again_from_anywhere(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site / "scenario.toml", **BESIDE)
    monkeypatch.chdir(tmp_path)
    run_into(tmp_path / "run", load_scenario("site/scenario.toml"), seed=0)
    monkeypatch.chdir("/")
    assert named_by(tmp_path / "run" / "scenario.toml") == whole(site)
    assert read_run(tmp_path / "run").scenario().world.topology.create(seed=0).graph.order() == 3


def test_every_file_that_a_scenario_names_has_a_digest(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site)
    for name in ("patients.csv", "basis.safetensors"):
        (site / name).write_text(name, encoding="utf-8")
    document = document_of(load_scenario({**SHORT, **BESIDE}))
    named = {"task": {"path": "patients.csv", "label": "ill", "note": "x" * 9_000}}
    named["variants"] = [{"peers": [0], "fields": {"method.basis_file": "basis.safetensors"}}]
    found = file_digests({**document, **named})
    assert set(found) == {*whole(site), "patients.csv", "basis.safetensors"}
    for name in found:
        Path(name).write_text(f"edited {name}", encoding="utf-8")
        now = file_digests({**document, **named})
        assert [it for it in found if found[it] != now[it]] == [name]
        found = now


def test_more_peers_than_can_be_simulated_are_refused() -> None:
    tables = {"topology": {"name": "ring", "nodes": SIMULATED_PEERS_MAX + 1}}
    with pytest.raises(
        ConfigError, match=r"topology.nodes = 100001: write a number of at most 100000"
    ):
        load_scenario({**SHORT, **tables})
