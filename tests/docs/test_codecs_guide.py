"""docs/codecs.md: its examples run, and its tables name every codec with its constants."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from p2pfed.updates.registry import CODECS, create_codec

TEXT = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_example_loses_nothing() -> None:
    torch.manual_seed(0)  # noqa: TID251  # the examples draw from torch's generator
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)  # noqa: S102  # the guide's own text
    assert float(names["lost"].abs().max()) < 1e-8


def test_run_file_names_a_codec() -> None:
    (block,) = blocks("toml")
    table = tomllib.loads(block)["codec"]
    assert create_codec(table.pop("name"), **table) == create_codec("int4")


def test_every_codec_is_compared() -> None:
    assert {re.findall(r"`([a-z0-9-]+)`", row[0])[0] for row in rows("Which one")} == set(CODECS)


@pytest.mark.parametrize("row", rows("Constants and sizes"), ids=lambda row: row[0])
def test_every_constant_is_there_with_its_default(row: list[str]) -> None:
    stated = dict(re.findall(r"`(\w+)` = ([-\w.]+\w)", row[1]))
    described = create_codec(row[0].strip("`")).describe()
    assert stated == {name: str(value) for name, value in described.items()}


def test_every_codec_has_its_constants_listed() -> None:
    assert [row[0].strip("`") for row in rows("Constants and sizes")] == [
        re.findall(r"`([a-z0-9-]+)`", row[0])[0] for row in rows("Which one") if "," not in row[0]
    ]


@pytest.mark.parametrize("row", rows("Which one"), ids=lambda row: row[0])
def test_figures_are_those_of_the_codecs(row: list[str]) -> None:
    name = re.findall(r"`([a-z0-9-]+)`", row[0])[0]
    codec = create_codec(name, **({"step_rms": 1.0} if "step_rms" in row[0] else {}))
    vector = torch.randn(200_000, generator=torch.Generator().manual_seed(0)) * 1e-3
    data = codec.encode(vector)
    error = float((codec.decode(data, len(vector)) - vector).norm() / vector.norm())
    bits, stated_error, delta, least = map(float, row[1:5])
    assert 8 * len(data) / len(vector) == pytest.approx(bits, rel=0.06)
    assert error == pytest.approx(stated_error, rel=0.05)
    assert 1 - error**2 == pytest.approx(delta, rel=0.05)
    assert codec.contraction_min == pytest.approx(least, rel=0.25, abs=5e-5)
