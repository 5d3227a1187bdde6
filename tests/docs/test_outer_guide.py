"""docs/outer.md: its examples run, and its tables are right."""

import re
from pathlib import Path
from typing import Any

import pytest

from p2pfed.learn.outer import OUTER_STEPS, diloco_rate_max, noloco_rate_max

TEXT = (Path(__file__).parents[2] / "docs" / "outer.md").read_text(encoding="utf-8")


def test_examples_do_what_they_say() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)  # noqa: S102  # the guide's own text
    assert float(names["model"].norm()) > 0
    assert len(names["payload"]) < 300
    assert float((names["reached"] - names["goal"]).norm()) < 0.2 * float(names["goal"].norm())


@pytest.mark.parametrize("name", OUTER_STEPS)
def test_every_constant_of_a_step_is_in_the_table(name: str) -> None:
    row = row_of(name)
    for constant, value in OUTER_STEPS[name]().describe().items():
        assert f"`{constant}` {value}" in row


def test_the_bounds_are_those_in_the_table() -> None:
    for name, bound in (("diloco", diloco_rate_max), ("noloco", noloco_rate_max)):
        numbers = [float(each) for each in row_of(name).split("|")[-2].split("/")]
        assert numbers == pytest.approx([bound(0.0), bound(0.5), bound(0.9)], rel=3e-3)


def row_of(name: str) -> str:
    (row,) = re.findall(rf"^\| `{name}` \|.*$", TEXT, flags=re.MULTILINE)
    assert isinstance(row, str)
    return row
