"""Importing topologies is light, uses no torch, and its three lists of public names agree."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import topologies

ROOT = Path(__file__).parents[2]


def modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_import_imports_nothing_large() -> None:
    modules = modules_after("import topologies; topologies.TopologyError")
    assert not {"torch", "networkx", "numpy", "scipy", "p2pfed"} & modules


def test_dense_use_needs_neither_torch_nor_scipy() -> None:
    statement = "import topologies; topologies.create('ring', nodes=4).spectral_gap()"
    modules = modules_after(statement)
    assert {"networkx", "numpy"} <= modules
    assert not {"torch", "scipy", "p2pfed"} & modules


def test_public_names_are_where_the_table_says() -> None:
    for name, module in topologies._PUBLIC.items():
        assert name in dir(topologies)
        assert getattr(topologies, name) is getattr(importlib.import_module(module), name)


def test_types_and_table_name_the_same() -> None:
    tree = ast.parse(Path(topologies.__file__).read_text())
    typed = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert typed == topologies._PUBLIC


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"topologies.*no_such_name"):
        _ = topologies.no_such_name
