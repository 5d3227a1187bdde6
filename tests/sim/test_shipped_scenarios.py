"""The scenarios that come with p2pfed: documented, valid, and able to begin and to end."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.scenario import load_scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.toml"))
DOCUMENT = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
LARGE = {"thousand-phones"}
SHIPPED = pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)


def shortened(path: Path) -> dict[str, Any]:
    """Return a scenario with two rounds of few steps, and a trace beside it."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    content["schedule"] |= {"rounds_max": 2, "evaluate_every_rounds": 0}
    fewest = content["training"].get("steps_per_round_min", 1)
    content["training"] |= {"steps_per_round": fewest, "batch_size": 8}
    for table in content.get("adversaries", []):
        if "first_round" in table:  # of a sleeper, which has to wake
            table["first_round"] = 1
    for table in content.get("availability", []):
        if "path" in table:
            table["path"] = str(path.parent / table["path"])
    return content


def test_there_are_many() -> None:
    assert len(SCENARIOS) >= 20


@SHIPPED
def test_each_is_valid_and_bears_its_name(path: Path) -> None:
    assert load_scenario(path).name == path.stem


@SHIPPED
def test_each_says_on_top_what_it_shows_and_costs(path: Path) -> None:
    head = path.read_text(encoding="utf-8").partition("\nuntil_s")[0]
    comment = " ".join(line.removeprefix("# ") for line in head.splitlines())
    about, _, cost = comment.partition("Cost: ")
    assert len(re.findall(r"[.!?](?: |$)", about)) == 2
    assert re.search(r"\d+ (?:seconds?|minutes?)", cost)


@SHIPPED
def test_each_is_listed(path: Path) -> None:
    assert f"[{path.stem}](../scenarios/{path.name})" in DOCUMENT


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in SCENARIOS if path.stem not in LARGE], ids=lambda path: path.stem
)
def test_each_plays_two_rounds(path: Path) -> None:
    result = sim.run(shortened(path), seed=0)
    honest = [report for report in result.peers if report.hostile is None]
    assert {report.stopped for report in honest} == {"rounds"}
