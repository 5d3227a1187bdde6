"""docs/privacy.md: its examples run, and its table is that of the run file."""

import re
import tomllib
from pathlib import Path
from typing import Any

from p2pfed.config.files import parse
from p2pfed.config.model import PrivacyTable

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
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", TEXT, flags=re.MULTILINE))
    assert {name: value.strip() for name, value in rows.items()} == {
        name: _word(field.default) for name, field in PrivacyTable.model_fields.items()
    }


def _word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("1e-05", "1e-5")
