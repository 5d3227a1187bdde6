"""The guide to methods lists what there is, and its example of `fed-sb` works."""

import re
import shlex
import tomllib
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

import sim
from p2pfed.cli.assignments import parse_assignments
from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.config.ledger import check_for_ledger
from p2pfed.config.templates import template
from p2pfed.identity import Identity
from p2pfed.learn.steps import create_step_rule
from p2pfed.updates.registry import METHODS, create_method

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")


def test_the_table_lists_every_method():
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", GUIDE, flags=re.MULTILINE)) == sorted(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_constant_is_explained(name):
    (section,) = re.findall(
        rf"^## [^\n]*`{name}`.*?(?=^## |\Z)", GUIDE, flags=re.MULTILINE | re.DOTALL
    )
    if "those of `lora`" in section or "As `lora`" in section:
        section += GUIDE[GUIDE.index("## `lora`") :]
    assert [each.name for each in fields(METHODS[name]) if each.name not in section] == []


LEDGERS = [
    block
    for block in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    if "[codec]" in block and METHODS[tomllib.loads(block)["method"]["name"]].is_ledger
]


def test_every_ledger_has_an_example():
    names = {tomllib.loads(block)["method"]["name"] for block in LEDGERS}
    assert {*names, "projected"} == {name for name in METHODS if METHODS[name].is_ledger}


@pytest.mark.parametrize("block", LEDGERS, ids=lambda it: tomllib.loads(it)["method"]["name"])
def test_examples_of_ledgers_are_run_files(block):
    config = parse(tomllib.loads(block))
    method = create_method(config.method.name, **config.method.constants)
    check_for_ledger(config, method)
    create_step_rule(config.training.step_rule.name, **config.training.step_rule.constants)


# The others are for models of text, or name a file of the reader's.
ON_DIGITS = [
    block
    for block in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    if "[method]" in block and '"value"' not in block and "basis" not in block
]


@pytest.mark.parametrize("block", ON_DIGITS, ids=lambda it: tomllib.loads(it)["method"]["name"])
def test_examples_are_run_files(block):
    config = parse({"run": {"task": "digits"}, **tomllib.loads(block)})
    genesis = assemble(config, Identity(bytes(32))).agreement.genesis
    assert genesis.method.name == config.method.name
    assert genesis.codec.name == config.codec.name


def fed_sb_on_digits():
    """Return the example's run file."""
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE, flags=re.DOTALL)
    (found,) = [it for it in map(tomllib.loads, blocks) if it.get("run") == {"task": "digits"}]
    return found


def test_fed_sb_on_digits_trains_as_many_values_as_the_guide_says():
    assembly = assemble(parse(fed_sb_on_digits()), Identity.create())
    size = assembly.bench.learner.specification.size
    assert size == 330 + 256
    assert f"{size} of the network" in GUIDE


def test_command_of_fed_sb_on_digits_makes_the_method_of_the_run_file():
    (command,) = [line for line in GUIDE.splitlines() if line.startswith("p2pfed init mine --set")]
    words = shlex.split(command)
    values = [word for before, word in pairwise(words) if before == "--set"]
    config = template("digits", overrides=parse_assignments(values, option="set"))
    assert config.method == parse(fed_sb_on_digits()).method


@pytest.mark.slow
def test_fed_sb_on_digits_learns():
    scenario = fed_sb_on_digits()
    scenario["training"]["threads"] = 1
    scenario["schedule"]["evaluate_every_rounds"] = 10
    scenario["topology"] = {"name": "complete", "nodes": 2}
    found = sim.run(scenario, seed=0).metrics["mean_accuracy"]
    assert found == pytest.approx(0.80, abs=0.05)


def test_published_systems_name_every_method_and_tests_that_are_there():
    section = GUIDE[GUIDE.index("## Published systems") :]
    assert set(METHODS) - {"full"} <= set(re.findall(r"`([a-z-]+)`", section))
    tests = re.findall(r"`(tests/[\w/]+\.py)`", section)
    assert tests
    assert [each for each in tests if not (ROOT / each).is_file()] == []
