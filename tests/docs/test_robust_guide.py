"""docs/robust.md: its examples run, and its tables name every rule."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import robust
from p2pfed.config.files import parse
from p2pfed.config.model import RunConfig

TEXT = (Path(__file__).parents[2] / "docs" / "robust.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_examples_do_what_they_say() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)  # noqa: S102  # the guide's own text
    assert names["center"].tolist() == pytest.approx([1.1, 2.0], abs=0.1)
    assert sum(names["found"].coefficients.tolist()) == pytest.approx(1.0)
    reasons = {verdict.peer: verdict.reason for verdict in names["result"].verdicts}
    assert reasons["carl"] == robust.Reason.NOT_FINITE
    assert reasons["dora"] == robust.Reason.NO_MASS
    assert names["caps"]["anna"] > 0.0


def test_tables_name_every_rule_and_pre_aggregation() -> None:
    named = re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted([*robust.names(), *robust.pre_aggregation_names()])


def test_run_file_is_one() -> None:
    (block,) = blocks("toml")
    config = parse(tomllib.loads(block))
    assert config.integration.rule == "nnm+trimmed-mean"
    assert not config.reputation.enabled
    assert config.integration.prioritizer == RunConfig().integration.prioritizer


def test_run_files_and_integrators_default_to_the_same_rule() -> None:
    assert parse({}).integration.rule == robust.Integrator().rule


def test_run_files_and_prioritizers_have_the_same_defaults() -> None:
    table = parse({}).integration.prioritizer.model_dump(exclude={"enabled"})
    known = {field.name: field.default for field in fields(robust.DistancePrioritizer)}
    assert table == {name: value for name, value in known.items() if name != "seed"}
