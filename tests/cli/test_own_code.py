"""A mistake in a rule or an attack of one's own is told alike: field, name, place and fix."""

import copy

import pytest

from robust.errors import OwnRuleError

pytestmark = pytest.mark.slow

PLUGIN = """
import robust
from sim.adversaries.attacks import register_attack

def divide(rows):
    return rows[0] / (1 // 0)

robust.register("dividing-rule", divide)
robust.register("short-rule", lambda rows: rows[0][:1])
robust.register("odd-rule", lambda rows: (rows[0], "all"))
register_attack("dividing-attack", lambda view: view.own / (1 // 0))
"""
SCENARIO = """
fidelity = "rounds"
plugins.files = ["{file}"]
[training]
steps_per_round = 1
[integration]
rule = "{rule}"
norm_cap_ratio = "off"
[schedule]
mode = "synchronous"
rounds_max = 1
[topology]
name = "complete"
nodes = 3
[[adversaries]]
peer = 0
kind = "{attack}"
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Return the one file that names them: no two may in one process."""
    path = tmp_path_factory.mktemp("plugins") / "own.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.parametrize(
    ("rule", "attack", "field", "fix"),
    [
        ("dividing-rule", "noise", "rule", "own.py:6: ZeroDivisionError"),
        ("short-rule", "noise", "rule", "returned shape (1,): let it return"),
        ("odd-rule", "noise", "rule", "returned weights 'all', which is no list of numbers"),
        ("mean", "dividing-attack", "attack", "own.py:11: ZeroDivisionError"),
    ],
)
def test_mistakes_in_code_of_ones_own(p2pfed, tmp_path, plugin, rule, attack, field, fix):
    text = SCENARIO.format(file=plugin, rule=rule, attack=attack)
    (tmp_path / "own.toml").write_text(text)
    error = p2pfed.error("sim", "run", "own.toml", code=2)
    named = {"rule": rule, "attack": attack}
    assert (error["kind"], error["field"], error["value"]) == ("ConfigError", field, named[field])
    assert fix in error["fix"]


def test_an_error_of_a_rule_reaches_other_processes_whole():
    again = copy.copy(OwnRuleError("mine", "failed"))
    assert (str(again), again.rule, again.said) == ("rule 'mine' failed", "mine", "failed")
