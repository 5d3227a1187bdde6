"""docs/codecs.md: its examples run, and its tables name every codec with its constants."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from p2pfed.updates.codec import Codec
from p2pfed.updates.registry import CODECS, create_codec

TEXT = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text(encoding="utf-8")


PEERS, VALUES, ROUNDS = 8, 2_000, 50
RING = re.findall(
    r"^\| `([\w-]+)`(, differences|) ?[\w ,]*\| ([\d.]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE
)


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


def mixed(own: torch.Tensor, sent: torch.Tensor) -> torch.Tensor:
    """Move each peer's own vector to what both its neighbors sent, a third of the way to each."""
    return (own + sent.roll(1, dims=0) + sent.roll(-1, dims=0)) / 3


def gossip(codec: Codec, start: torch.Tensor, *, sends_differences: bool) -> torch.Tensor:
    """Average on a ring by what a codec leaves of vectors, or of their differences (CHOCO)."""

    def rounded(rows: torch.Tensor) -> torch.Tensor:
        return torch.stack([codec.decode(codec.encode(row), VALUES) for row in rows])

    vectors, copies = start, torch.zeros_like(start)
    for _ in range(ROUNDS):
        if sends_differences:
            copies = copies + rounded(vectors - copies)
            vectors = vectors + codec.gossip_step_max * (mixed(copies, copies) - copies)
        else:
            vectors = mixed(vectors, rounded(vectors))
    return vectors


def test_ring_shows_whole_vectors_and_differences() -> None:
    assert len(RING) == 7


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "distance", "way"), RING)
def test_figures_of_the_ring_are_those_of_the_codecs(
    name: str, kind: str, distance: str, way: str
) -> None:
    start = torch.randn(PEERS, VALUES, generator=torch.Generator().manual_seed(0)) * 1e-3
    end = gossip(create_codec(name), start, sends_differences=bool(kind))
    mean = start.mean(dim=0)
    apart = float((end - end.mean(dim=0)).norm() / (start - mean).norm())
    moved = float((end.mean(dim=0) - mean).norm() / mean.norm())
    assert apart == pytest.approx(float(distance), rel=0.15)
    assert moved == pytest.approx(float(way), rel=0.15, abs=1e-6)  # roundings of float32
