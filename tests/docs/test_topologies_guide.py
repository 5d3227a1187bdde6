"""docs/topologies.md: its examples run, and its tables name all there is with true numbers."""

import re
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import topologies
from topologies.dynamic.registry import DYNAMIC_TOPOLOGIES
from topologies.mixing import DOUBLY_STOCHASTIC, MIXING_MATRICES
from topologies.registry import TOPOLOGIES

TEXT = (Path(__file__).parents[2] / "docs" / "topologies.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """Return the cells of a section's table by name, without the name."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def parameters_of(build: Any) -> set[str]:
    return set(signature(build).parameters) - {"nodes", "seed"}


def numbers(name: str) -> list[str]:
    """Return what the table says of a shape of 16 peers."""
    params = {"degree": 4} if name == "k-regular" else {}
    net = topologies.create(name, nodes=16, **params)
    degrees = [degree for _, degree in net.graph.degree]
    mean, most = sum(degrees) / 16, max(degrees)
    return [
        f"{most}" if mean == most else f"{mean:.1f}, {most}",
        f"{net.spectral_gap():.3f}",
        f"{net.rounds_to(1e-3)}",
        f"{net.effective_neighbors():.1f}",
    ]


@pytest.mark.slow
def test_examples_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)  # noqa: S102  # the guide's own text
    assert names["third"].out_neighbors[0] == (4,)
    better = names["ring"].spectral_gap("optimized") / names["ring"].spectral_gap()
    assert f"{better:.1f} times that of metropolis" in TEXT


def test_every_shape_is_listed_with_its_parameters() -> None:
    listed = rows("Shapes")
    assert set(listed) == set(TOPOLOGIES)
    for name, build in TOPOLOGIES.items():
        assert set(re.findall(r"`(\w+)`", listed[name][0])) == parameters_of(build)


@pytest.mark.parametrize("name", sorted(set(TOPOLOGIES) - {"file"}))
def test_numbers_of_shapes_are_true(name: str) -> None:
    assert rows("Shapes")[name][1:5] == numbers(name)


def test_every_mixing_matrix_is_listed() -> None:
    listed = rows("Mixing matrices")
    assert set(listed) == set(MIXING_MATRICES)
    assert {name for name, row in listed.items() if row[1] == "yes"} == DOUBLY_STOCHASTIC


def test_every_topology_that_changes_is_listed_with_its_parameters() -> None:
    listed = rows("Topologies that change")
    assert set(listed) == set(DYNAMIC_TOPOLOGIES)
    for name, build in DYNAMIC_TOPOLOGIES.items():
        assert set(re.findall(r"`(\w+)`", listed[name][0])) == parameters_of(build)
