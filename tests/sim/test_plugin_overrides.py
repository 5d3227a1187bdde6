"""Plug-ins that other values of a scenario's fields replace: they are not run."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

import robust
from p2pfed.errors import ConfigError
from robust import registry
from sim.documents import document_of, load_base, load_changed
from sim.sweeps.plan import load_varied, plan_settings
from tests.sim.short import SHORT

OWN = "import robust\nrobust.register('own-{name}', lambda vectors: vectors[0])\n"
OTHER = {"plugins.files": ["other.py"], "integration.rule": "own-other"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a scenario with a plug-in beside it; another one is where the program runs."""
    monkeypatch.setattr(registry, "_REGISTERED", {})
    site = tmp_path / "site"
    site.mkdir()
    (site / "first.py").write_text(OWN.format(name="first"), encoding="utf-8")
    (tmp_path / "other.py").write_text(OWN.format(name="other"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    tables = {**SHORT, "integration": {"rule": "own-first"}, "plugins": {"files": ["first.py"]}}
    (site / "scenario.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
    return site / "scenario.toml"


@pytest.mark.parametrize(
    "overrides",
    [
        OTHER,
        {"plugins": {"files": ["other.py"]}, "integration.rule": "own-other"},
        {"plugins.files.0": "other.py", "integration.rule": "own-other"},
        {"plugins.files": [], "integration.rule": "mean"},
    ],
)
def test_those_that_are_replaced_are_not_run(path: Path, overrides: dict[str, Any]) -> None:
    changed = load_changed(document_of(load_base(path, [overrides])), overrides)
    named = changed.run_config(0, seed=0).plugins.files
    assert named == ([] if "mean" in overrides.values() else [str(Path("other.py").resolve())])
    assert "own-first" not in robust.names()
    assert ("own-other" in robust.names()) == bool(named)


def test_those_that_stay_are_run(path: Path) -> None:
    overrides = {"topology.nodes": 4}
    load_changed(document_of(load_base(path, [overrides])), overrides)
    assert "own-first" in robust.names()


def test_a_sweep_runs_those_that_a_setting_keeps(path: Path) -> None:
    for settings, is_run in (([OTHER], False), ([OTHER, {}], True)):
        base = load_varied(path, grid={}, settings=settings)
        assert len(plan_settings(base, settings=settings)) == len(settings)
        assert ("own-first" in robust.names()) == is_run


def test_a_grid_replaces_them_in_every_setting(path: Path) -> None:
    grid = {name: [value] for name, value in OTHER.items()}
    (setting,) = plan_settings(load_varied(path, grid=grid, settings=[{}]), grid=grid)
    assert setting.document["plugins"]["files"] == [str(Path("other.py").resolve())]
    assert "own-first" not in robust.names()


def test_what_has_no_effect_in_the_file_is_still_said(path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("[reputation.policy]\nobservations_min = 2\n")
    with pytest.raises(ConfigError, match=r"reputation\.policy"):
        load_base(path, [OTHER])


def test_an_absent_one_is_said_with_where_paths_are_from(path: Path) -> None:
    overrides = {"plugins.files": ["none.py"]}
    said = "no such Python file; paths in a scenario file are relative to its folder, and those in"
    with pytest.raises(ConfigError, match=said) as caught:
        load_changed(document_of(load_base(path, [overrides])), overrides)
    assert caught.value.field == "plugins.files"
    assert caught.value.value == str(Path("none.py").resolve())
