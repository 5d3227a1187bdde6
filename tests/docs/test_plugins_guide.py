"""docs/plugins.md: its rule and its attack are short, and run by name from its scenario."""

import ast
import re
from pathlib import Path

import pytest
import torch

import robust
import sim
from robust import registry as rules
from sim.adversaries.attacks import create_attack
from sim.adversaries.attacks import registry as attacks

TEXT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
(OWN,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(SCENARIO,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(rules, "_REGISTERED", {})
    monkeypatch.setattr(attacks, "_REGISTERED", {})
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def test_a_rule_and_an_attack_take_less_than_30_lines_each() -> None:
    functions = [it for it in ast.parse(OWN).body if isinstance(it, ast.FunctionDef)]
    assert len(functions) == 2
    assert all((it.end_lineno or 0) - it.lineno + 1 + 2 < 30 for it in functions)


@pytest.mark.slow
def test_the_scenario_runs_both_by_name(scenario: Path) -> None:
    result = sim.run(scenario)
    assert result.metrics["hostile_weight_mass"] == 0.0
    assert result.metrics["finished"] == 1.0
    assert result.peers[0].hostile == "backwards"
    assert "near-own" in robust.names()
    text = SCENARIO.replace('"near-own"', '"mean"').replace("params = { share = 0.8 }", "")
    scenario.write_text(text, encoding="utf-8")
    heard = sim.run(scenario)
    assert (heard.metrics["hostile_weight_mass"] or 0.0) > 0.1
    assert (heard.metrics["mean_accuracy"] or 0.0) < (result.metrics["mean_accuracy"] or 0.0)


def test_both_work_wherever_names_do(scenario: Path) -> None:
    sim.load_scenario(scenario)
    rows = torch.tensor([[1.0, 2.0], [1.2, 2.0], [1.1, 2.2], [9.0, -9.0]])
    assert robust.create("nnm+near-own", byzantine_count=1)(rows, own=rows[0]).shape == (2,)
    create_attack("sleeper+backwards", scale=4.0, first_round=2)
    config = {"peers": 6, "liars": 1, "topology": "ring", "rounds": 1}
    result = sim.rounds.run(
        sim.rounds.RoundsConfig(
            attack="backwards", attack_params={"scale": 4.0}, rule="near-own", **config
        )
    )
    assert result.config["rule"] == "near-own"
