"""Which cells a sweep has, and what they are called."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2pfed.errors import ConfigError
from sim.named_files import file_digests
from sim.scenario import load_scenario
from sim.sweeps.fitting import check_fits
from sim.sweeps.plan import Cell, load_settings, plan_cells, plan_settings
from tests.sim.results import write_run
from tests.sim.short import SHORT

BASE = load_scenario(SHORT)
GRID = {"integration.rule": ["mean", "median"], "topology.nodes": [3, 4]}


def test_a_grid_takes_all_combinations_in_order() -> None:
    settings = plan_settings(BASE, grid=GRID)
    assert [tuple(it.overrides.values()) for it in settings] == [
        ("mean", 3),
        ("mean", 4),
        ("median", 3),
        ("median", 4),
    ]
    assert settings[3].document["integration"]["rule"] == "median"
    assert settings[3].document["topology"]["nodes"] == 4
    assert len({it.digest for it in settings}) == 4


def test_a_table_may_be_emptied_before_some_of_its_fields_vary() -> None:
    base = load_scenario(
        {**SHORT, "topology": {"name": "k-regular", "nodes": 6, "degree": 4}, "network": {}}
    )
    grid = {"topology": [{}], "topology.name": ["ring", "complete"], "topology.nodes": [6]}
    settings = plan_settings(base, grid=grid)
    names = [it.document["topology"]["name"] for it in settings]
    assert names == ["ring", "complete"]
    assert not any("degree" in it.document["topology"] for it in settings)
    assert [it.overrides["topology"] for it in settings] == [{}, {}]


def test_a_list_is_combined_with_the_grid() -> None:
    listed: list[dict[str, Any]] = [{}, {"network.loss_ratio": 0.1}]
    settings = plan_settings(BASE, grid={"topology.nodes": [3, 4]}, settings=listed)
    assert [dict(it.overrides) for it in settings] == [
        {"topology.nodes": 3},
        {"topology.nodes": 4},
        {"network.loss_ratio": 0.1, "topology.nodes": 3},
        {"network.loss_ratio": 0.1, "topology.nodes": 4},
    ]


def test_a_part_may_be_switched_off_in_some_settings() -> None:
    policy = {"observations_min": 2}
    base = load_scenario({**SHORT, "reputation": {"enabled": True, "policy": policy}})
    on, off = plan_settings(base, grid={"reputation.enabled": [True, False]})
    assert on.document["reputation"]["policy"] == policy
    assert off.document["reputation"]["policy"] == {}


def test_cells_are_settings_with_seeds_in_folders_of_their_own(tmp_path: Path) -> None:
    settings = plan_settings(BASE, grid={"integration.rule": ["mean", "median"]})
    cells = plan_cells(settings, [0, 7], tmp_path)
    assert [it.seed for it in cells] == [0, 7, 0, 7]
    assert cells[3].folder.parent.name == f"integration.rule=median-{settings[1].digest[:8]}"
    assert cells[3].folder.name == "seed-7"
    assert not any(it.is_done() for it in cells)


def test_a_cell_is_done_by_its_own_scenario_and_seed_alone(tmp_path: Path) -> None:
    (setting,) = plan_settings(BASE)
    cell, other_seed = plan_cells([setting], [0, 1], tmp_path)
    write_run(cell.folder, seed=0, accuracy=0.5)
    write_run(other_seed.folder, seed=0, accuracy=0.5)
    assert [cell.is_done(), other_seed.is_done()] == [True, False]
    (changed,) = plan_settings(BASE, settings=[{"network.latency_s": 0.5}])
    assert not replace(cell, setting=changed).is_done()


def test_a_cell_is_not_done_once_a_file_that_the_scenario_names_is_another(tmp_path: Path) -> None:
    graph = tmp_path / "sites.txt"
    graph.write_text("a b\nb c\n", encoding="utf-8")
    topology = {"name": "file", "nodes": 3, "path": str(graph)}

    def planned() -> Cell:
        (cell,) = plan_cells(
            plan_settings(load_scenario({**SHORT, "topology": topology})), [0], out
        )
        return cell

    out = tmp_path / "out"
    write_run(planned().folder, seed=0, accuracy=0.5, overrides={"topology": topology})
    assert not planned().is_done()  # an earlier version did not say what was in the file
    program = {"files": file_digests(planned().setting.document)}
    (planned().folder / "program.json").write_text(json.dumps(program), encoding="utf-8")
    assert planned().is_done()
    graph.write_text("a b\nb c\nc a\n", encoding="utf-8")
    assert not planned().is_done()


def test_a_name_of_a_folder_is_short_and_has_no_separators() -> None:
    (setting,) = plan_settings(BASE, grid={"run.name": ["../" + "long" * 15]})
    assert len(setting.name) < 120
    assert "/" not in setting.name
    assert plan_settings(BASE)[0].name.startswith("as-written-")


def test_cells_use_one_thread_unless_the_scenario_says_otherwise() -> None:
    silent = load_scenario({**SHORT, "training": {"steps_per_round": 1}})
    (setting,) = plan_settings(silent)
    assert setting.document["training"]["threads"] == 1
    assert setting.digest == plan_settings(BASE)[0].digest
    (two,) = plan_settings(silent, grid={"training.threads": [2]})
    assert two.document["training"]["threads"] == 2


@pytest.mark.parametrize(
    ("grid", "field"),
    [
        ({"topology.nodes": [3, "many"]}, "topology.nodes"),
        ({"topology.degree": [2]}, "topology.degree"),
        ({"integration.rule": ["median", "median"]}, "set"),
        ({"integration.beta_max": [0.3, 0.30]}, "set"),
        ({"nonsense.field": [1]}, "nonsense"),
    ],
)
def test_a_setting_that_cannot_be_used_is_known_before_any_runs(
    grid: dict[str, list[Any]], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_settings(BASE, grid=grid)
    assert caught.value.field == field


def test_a_file_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text(
        '[[settings]]\nintegration.rule = "median"\n'
        "[[settings]]\ntopology = { name = 'complete', nodes = 5 }\n[[settings]]\n"
    )
    assert load_settings(path) == [
        {"integration.rule": "median"},
        {"topology.name": "complete", "topology.nodes": 5},
        {},
    ]


CLOSEST = load_scenario({**SHORT, "integration": {"rule": "closest", "params": {"keep": 0.7}}})
MEDIAN = {"rule": "median", "params": {}}


def test_a_table_means_the_same_in_a_file_and_in_a_grid(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text('[[settings]]\nintegration = { rule = "median", params = {} }\n')
    (listed,) = plan_settings(CLOSEST, settings=load_settings(path))
    (chosen,) = plan_settings(CLOSEST, grid={"integration": [MEDIAN]})
    assert listed.digest == chosen.digest
    assert listed.document["integration"]["params"] == {}


def test_what_a_setting_leaves_of_the_scenario_is_named_with_its_fix() -> None:
    said = r"it has none; it stands in the sweep's scenario .* write integration\.params = \{\}"
    with pytest.raises(ConfigError, match=said):
        plan_settings(CLOSEST, settings=[{"integration.rule": "median"}])
    with pytest.raises(ConfigError, match=r"it has none$"):
        plan_settings(
            CLOSEST, settings=[{"integration": {"rule": "median", "params": {"keep": 1}}}]
        )


@pytest.mark.parametrize(
    "content", ["", "[settings]\n", "settings = [1]\n", "[[settings]]\n[other]\n", "[["]
)
def test_a_file_that_is_no_list_of_settings(tmp_path: Path, content: str) -> None:
    path = tmp_path / "list.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"\[\[settings\]\]") as caught:
        load_settings(path)
    assert caught.value.value == str(path)


@pytest.mark.parametrize(
    "overrides",
    [
        {"integration.rule": "nonsense"},
        {"codec.name": "nonsense"},
        {"method.name": "nonsense"},
        {"outer.name": "nonsense"},
        {"share.name": "nonsense"},
        {"training.step_rule.name": "nonsense"},
        {"training.step_rule.learning_rate": -1.0},
        {"run.task": "reuter"},
        {"integration.params.x": 1},
        {"participation.weights": "fedau", "integration.rule": "median"},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_names_that_no_cell_could_use_are_errors_before_any_runs(overrides: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_settings(BASE, settings=[{}, overrides])
    assert caught.value.field == next(iter(overrides))


@pytest.mark.parametrize(
    "overrides",
    [{"method.name": "lora"}, {"task.hidden": 3}, {"fidelity": "rounds", "method.name": "lora"}],
    ids=lambda overrides: ",".join(overrides),
)
def test_methods_and_options_that_no_task_has_are_errors_before_any_runs(
    tmp_path: Path, overrides: dict[str, Any]
) -> None:
    base = load_scenario({**SHORT, "schedule": {"mode": "synchronous", "rounds_max": 2}})
    cells = plan_cells(plan_settings(base, settings=[{}, overrides]), [0, 1], tmp_path)
    check_fits(cells[:2])
    with pytest.raises(ConfigError, match="in the setting"):
        check_fits(cells)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"grid": {"integration.rule": "mean"}}, "grid.integration.rule"),
        ({"grid": {"integration.rule": []}}, "grid.integration.rule"),
        ({"grid": ["integration.rule"]}, "grid"),
        ({"settings": []}, "settings"),
        ({"settings": {"run.name": "one"}}, "settings"),
    ],
    ids=["text", "empty-list", "no-mapping", "no-setting", "one-setting"],
)
def test_what_is_no_list_of_values_is_none_of_letters(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_settings(BASE, **given)
    assert caught.value.field == field


@pytest.mark.parametrize("seeds", [[], "12", [0, 0], [-1], ["1"]], ids=str)
def test_a_sweep_without_proper_seeds_is_refused(tmp_path: Path, seeds: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_cells(plan_settings(BASE), seeds, tmp_path)
    assert caught.value.field == "seeds"
