"""`--set plugins.files=...`: the files that a scenario names are not run then."""

import pytest

import robust
from robust import registry
from tests.cli.test_own_code import SCENARIO

pytestmark = pytest.mark.slow

PLUGIN = """
import robust
from sim.adversaries.attacks import register_attack

robust.register("{name}-rule", lambda rows: rows[0])
register_attack("{name}-attack", lambda view: -view.own)
"""


def test_names_of_a_replaced_plugin_are_not_there(p2pfed, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    for name in ("replaced", "set"):
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name))
    text = SCENARIO.format(file="replaced.py", rule="replaced-rule", attack="replaced-attack")
    (tmp_path / "own.toml").write_text(text)
    words = ["own.toml", "--set", 'plugins.files=["set.py"]']
    error = p2pfed.error("sim", "run", *words, code=2)
    assert (error["field"], error["value"]) == ("adversaries.0.kind", "replaced-attack")
    words += ["--set", "adversaries.0.kind=set-attack", "--set", "integration.rule=set-rule"]
    p2pfed.json("sim", "run", *words, "--out", "run")
    assert p2pfed.json("sim", "replay", "run")["is_same"]
    p2pfed.json("sim", "sweep", *words, "--out", "sweep", "--jobs", "1")
    assert "replaced-rule" not in robust.names()
