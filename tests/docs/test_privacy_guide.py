"""docs/privacy.md: its examples run, and its table is that of the run file."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from p2pfed.config.files import parse
from p2pfed.config.model import PrivacyTable
from p2pfed.learn.mixing import Claim
from p2pfed.learn.privacy.accountant import Accountant, Budget, Gaussian
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


def epsilon_of(noise_multiplier: float, releases: int) -> float:
    """Return what releases with such noise cost a peer, with any two sets of rows."""
    accountant = Accountant(Budget(epsilon_max=8.0, delta=1e-5))
    return accountant.epsilon(Gaussian(noise_multiplier=noise_multiplier / 2.0), releases)


def test_epsilon_8_pays_for_as_many_releases_as_it_says() -> None:
    assert "one release with a `noise_multiplier` of 1.3,\nor for 10 with 4.1" in TEXT
    assert 7.5 < epsilon_of(1.3, 1) <= 8.0
    assert 7.5 < epsilon_of(4.1, 10) <= 8.0


def test_noise_and_epsilon_of_the_result_belong_together() -> None:
    table = TEXT.split("| `noise_multiplier` | epsilon |")[1].split("\n\n")[0]
    found = re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", table, flags=re.MULTILINE)
    assert len(found) == 3
    for noise, epsilon, ratio in found:
        assert float(epsilon) == pytest.approx(epsilon_of(float(noise), 1), rel=0.01)
        assert float(ratio) == pytest.approx(float(noise) * (330 / 20) ** 0.5, abs=0.05)


def test_all_that_a_peer_sends_is_accounted_for() -> None:
    section = TEXT.split("| part | where it comes from |")[1].split("\n\n")[0]
    parts = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    explained = [name for part in parts for name in re.findall(r"`(\w+)`", part)]
    sent = [name for table in (UpdateHeader, Claim) for name in table.__struct_fields__]
    assert sorted(explained) == sorted([*sent, *(it.__name__ for it in get_args(Message))])


def _word(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("1e-05", "1e-5")
