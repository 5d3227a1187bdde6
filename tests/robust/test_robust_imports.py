"""Importing robust is light, and its three lists of public names agree."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import robust

ROOT = Path(__file__).parents[2]


def modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_import_does_not_import_torch() -> None:
    modules = modules_after("import robust; robust.byzantine_count(3); robust.InputError")
    assert "robust.tolerance" in modules
    assert not {"torch", "numpy", "p2pfed"} & modules


def test_reputation_does_not_import_torch() -> None:
    modules = modules_after(
        "import robust; robust.ReputationLedger(); robust.LossGate(0)\n"
        "import robust.reputation.copies, robust.reputation.groups, robust.reputation.quotas"
    )
    assert {"robust.reputation.ledger", "robust.reputation.loss_gate"} <= modules
    assert not {"torch", "numpy", "p2pfed"} & modules


@pytest.mark.slow  # loads torch twice
def test_integration_with_reputation_loads_torch_and_nothing_else() -> None:
    with_torch = modules_after("import torch, typing_extensions")
    modules = modules_after(
        "import robust, torch\n"
        "own, ledger = torch.ones(3), robust.ReputationLedger()\n"
        "rows = [robust.Row(f'{i}', own + i) for i in range(5)]\n"
        "for name in ('nnm+trimmed-mean', 'krum', 'geometric-median'):\n"
        "    found = robust.Integrator(name, observes=True).integrate(own, rows)\n"
        "ledger.observe(0, found.observations)\n"
        "robust.LossGate(0), robust.NormGate(), robust.DistancePrioritizer(draw='nearest')"
    )
    packages = {module.split(".")[0] for module in modules - with_torch}
    assert packages - set(sys.stdlib_module_names) <= {"robust"}


def test_public_names_are_where_the_table_says() -> None:
    for name, module in robust._PUBLIC.items():
        assert name in dir(robust)
        assert getattr(robust, name) is getattr(importlib.import_module(module), name)


def test_types_and_table_name_the_same() -> None:
    tree = ast.parse(Path(robust.__file__).read_text())
    typed = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert typed == robust._PUBLIC


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"robust.*no_such_name"):
        _ = robust.no_such_name
