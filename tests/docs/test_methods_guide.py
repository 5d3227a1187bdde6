"""The guide to methods lists what there is."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

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
