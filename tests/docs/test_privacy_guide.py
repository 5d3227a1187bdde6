"""docs/privacy.md: its examples run, and its table is that of the run file."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from p2pfed.config.files import parse
from p2pfed.config.model import PrivacyTable
from p2pfed.learn.mixing import Claim
from p2pfed.messages import Message, UpdateHeader

TEXT = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)
    assert found
    return found


def test_examples_run() -> None:
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)  # noqa: S102  # the guide's own text
    assert names["accountant"].releases == 1
    assert names["published"].shape == ()


def test_the_run_files_are_run_files() -> None:
    for block in blocks("toml"):
        assert parse(tomllib.loads(block)).privacy.enabled


def test_every_field_is_in_the_table_with_its_default() -> None:
    table = TEXT.split("| field of `[privacy]` |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", table, flags=re.MULTILINE))
    assert {name: value.strip() for name, value in rows.items()} == {
        name: _word(field.default) for name, field in PrivacyTable.model_fields.items()
    }


def test_all_that_a_peer_sends_is_accounted_for() -> None:
    section = TEXT.split("| part | where it comes from |")[1].split("\n\n")[0]
    parts = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    explained = [name for part in parts for name in re.findall(r"`(\w+)`", part)]
    sent = [it.name for table in (UpdateHeader, Claim) for it in fields(table)]
    assert sorted(explained) == sorted([*sent, *(it.__name__ for it in get_args(Message))])


def _word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("1e-05", "1e-5")
