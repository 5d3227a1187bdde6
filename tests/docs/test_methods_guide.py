"""The guide to methods lists what there is."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from p2pfed.config.files import parse
from p2pfed.config.learning import assemble
from p2pfed.identity import Identity
from p2pfed.updates.registry import METHODS

GUIDE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


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


VOTES = [
    block
    for block in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    if 'rule = "rank-vote"' in block
]


@pytest.mark.parametrize("block", VOTES, ids=lambda it: tomllib.loads(it)["method"]["name"])
def test_examples_of_votes_are_run_files(block):
    config = parse({"run": {"task": "digits"}, **tomllib.loads(block)})
    assembly = assemble(config, Identity(bytes(32)))
    assert assembly.agreement.genesis.codec.name == "ballot"
    described = METHODS[config.method.name]().describe()
    assert described == {**described, **config.method.constants}
