"""docs/scenarios.md: its example runs, and its tables list every field, default and adversary."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import sim
from p2pfed.config.model import RunConfig
from p2pfed.learn.tasks import TASKS
from sim.adversaries import registry
from sim.adversaries.attacks.registry import DATA_ATTACKS, LOCAL, WRAPPERS
from sim.result import PeerReport, Result, Score
from sim.scenario import load_scenario
from sim.tables import (
    AdversaryTable,
    AvailabilityTable,
    DeviceTable,
    FaultTable,
    Surrounding,
    VariantTable,
)

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
# What a scenario must not say, or says in a list of tables with a table of its own here.
LISTS = {"Devices": DeviceTable, "Availability": AvailabilityTable, "Variants": VariantTable}
ELSEWHERE = (
    "node",
    "share.index",
    "share.count",
    "task",
    "faults",
    "adversaries",
    *map(str.lower, LISTS),
)
NUMBER = re.compile(r"\b(int|float)\b")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def default_of(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return "unset" if info.default is None else f"`{json.dumps(info.default)}`"


def fields_of(table: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield all fields of a table and of those inside it, by dotted name."""
    for name, info in table.model_fields.items():
        if f"{prefix}{name}" in ELSEWHERE:
            continue
        if isinstance(info.default, BaseModel):
            yield from fields_of(type(info.default), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


@pytest.mark.parametrize(
    ("heading", "table"), [("The world", Surrounding), ("The run", RunConfig)], ids=str
)
def test_every_field_is_listed_with_its_default(heading: str, table: type[BaseModel]) -> None:
    listed = {row[0].strip("`"): row[2] for row in rows(heading)}
    assert listed == {name: default_of(info) for name, info in fields_of(table)}


@pytest.mark.parametrize(
    ("heading", "table"), [("The world", Surrounding), ("The run", RunConfig)], ids=str
)
def test_every_number_has_a_unit(heading: str, table: type[BaseModel]) -> None:
    units = {row[0].strip("`"): row[1] for row in rows(heading)}
    for name, info in fields_of(table):
        is_measured = NUMBER.search(str(info.annotation)) and not name.endswith(("seed", "params"))
        assert (units[name] != "-") == bool(is_measured and "policy" not in name), name
        if name.endswith("_s"):
            assert units[name].endswith("second" if "_per_" in name else "seconds")


@pytest.mark.parametrize("heading", LISTS)
def test_every_field_of_a_list_of_tables_is_listed(heading: str) -> None:
    known = LISTS[heading].model_fields
    expected = {(f"`{name}`", default_of(it)) for name, it in known.items()}
    assert {(row[0], row[2]) for row in rows(heading)} == expected


def test_every_fault_is_listed_with_its_fields() -> None:
    union, _ = get_args(FaultTable)
    expected = set()
    for table in get_args(union):
        (kind,) = get_args(table.model_fields["kind"].annotation)
        for name, info in table.model_fields.items():
            if name != "kind":
                expected.add((f"`{kind}`", f"`{name}`", default_of(info)))
    assert {(row[0], row[1], row[3]) for row in rows("Faults")} == expected


def written(parameter: Parameter) -> str:
    if parameter.default in (None, Parameter.empty):
        return parameter.name
    return f"{parameter.name}={json.dumps(parameter.default)}"


def parameters_of(kind: str) -> list[str]:
    if kind in registry.ADVERSARIES:
        known = list(signature(registry.ADVERSARIES[kind]).parameters.values())[2:]
    else:
        known = list(signature({**LOCAL, **WRAPPERS, **DATA_ATTACKS}[kind]).parameters.values())
    return [written(it) for it in known if it.name != "attack"]


def test_every_adversary_is_listed_with_its_parameters() -> None:
    listed = {row[0].strip("`"): re.findall(r"`([^`]+)`", row[1]) for row in rows("Adversaries")}
    assert listed == {kind: parameters_of(kind) for kind in registry.names()}
    assert set(AdversaryTable.model_fields) == {"peer", "share", "kind"}


def test_every_option_of_a_built_in_task_is_listed() -> None:
    expected = {
        (f"`{task}`", f"`{option.name}`", f"`{option.default}`")
        for task, factory in TASKS.items()
        for option in signature(factory).parameters.values()
    }
    assert {(row[0], row[1], row[3]) for row in rows("Tasks")} == expected


def test_every_field_of_the_result_is_explained() -> None:
    explained = set(re.findall(r"`(?:metrics\.)?(\w+)`", TEXT.split("## Reading the result")[1]))
    known = {it.name for table in (Result, PeerReport, Score) for it in fields(table)}
    assert known - {"metrics"} <= explained


@pytest.mark.slow
@pytest.mark.parametrize("program", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_the_examples_in_python_run(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(program, {})  # noqa: S102 - the guide's own


def test_every_method_of_a_watcher_is_listed_with_its_arguments() -> None:
    methods = {name: it for name, it in vars(sim.Watcher).items() if not name.startswith("_")}
    expected = [
        f"`{name}({', '.join([*signature(it).parameters][1:])})`" for name, it in methods.items()
    ]
    assert [row[0] for row in rows("Watching a run")] == expected


@pytest.mark.slow
def test_example_ends_as_it_says() -> None:
    content: dict[str, Any] = tomllib.loads(EXAMPLE)
    result = sim.run(load_scenario(content), seed=0)
    explained = set(re.findall(r"`metrics\.(\w+)`", TEXT))
    assert set(result.metrics) == explained
    assert result.metrics["hostile_weight_mass"] == 0.0
    assert result.metrics["finished"] == 1.0
    assert set(result.rejected) == {"norm-cap"}
    assert result.rejected["norm-cap"]["honest"] == result.rows_used["hostile"] == 0
    assert [report.stopped for report in result.peers[1:]] == ["rounds"] * 5
    assert [report.hostile for report in result.peers] == ["scaled-difference", *[None] * 5]
    assert (result.peers[1].rounds, result.peers[1].scores[-1].round) == (12, 11)
    mean = result.metrics["mean_accuracy"]
    assert mean is not None
    assert mean > 0.6
