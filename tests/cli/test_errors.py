"""Errors name what failed, with which value, and what to do; exit codes are the documented ones."""

import pytest

from p2pfed.core.effects import Record
from p2pfed.errors import LocalError, SchemaError, TransportError, as_in_file
from p2pfed.node.store import StateStore

TASKS = """
from p2pfed.errors import LocalError, SchemaError, TransportError

def interrupt():
    raise KeyboardInterrupt

def fail():
    raise ZeroDivisionError("by zero")

def local():
    raise LocalError("no room")

def network():
    raise TransportError("no way")

def remote():
    raise SchemaError("no sense")
"""


@pytest.fixture
def own_tasks(tmp_path):
    (tmp_path / "failing_tasks.py").write_text(TASKS)


@pytest.mark.parametrize(
    ("words", "field", "value", "fix"),
    [
        (("--set", "schedule.rounds_max=many"), "schedule.rounds_max", "many", "whole number"),
        (("--set", "schedule.rounds=3"), "schedule.rounds", 3, "no such field"),
        (("--set", "rounds"), "set", "rounds", "name=value"),
        (("--set", "a=1", "--set", "a=2"), "set", "a=2", "twice"),
        (("--task", "nonsense"), "task", "nonsense", "digits, reuters"),
        (("--set", "integration.rule=nonsense"), "integration.rule", "nonsense", "mean"),
        (("--set", "codec.name=nonsense"), "codec.name", "nonsense", "float32"),
        (("--set", "share.name=nonsense"), "share.name", "nonsense", "dirichlet"),
        (("--set", "share.alpha=1"), "share.alpha", 1, "examples_min"),
        (("--set", "share.index=5", "--set", "share.count=2"), "share.index", 5, "0 to 1"),
        (
            ("--set", "training.step_rule.name=nonsense"),
            "training.step_rule.name",
            "nonsense",
            "sgd",
        ),
        (
            ("--set", "training.step_rule.learning_rate=-1"),
            "training.step_rule.learning_rate",
            -1,
            "above",
        ),
        (("--set", "integration.weights=nonsense"), "integration.weights", "nonsense", "uniform"),
        (
            ("--set", "integration.prioritizer.model_count_max=0"),
            "integration.prioritizer.model_count_max",
            0,
            "at least 1",
        ),
        (
            ("--set", "integration.prioritizer.exploration_ratio=1.5"),
            "integration.prioritizer.exploration_ratio",
            1.5,
            "at most 1",
        ),
        (
            ("--set", "integration.prioritizer.draw=furthest"),
            "integration.prioritizer.draw",
            "furthest",
            "'random' or 'nearest'",
        ),
        (
            ("--set", "integration.prioritizer.count=3"),
            "integration.prioritizer.count",
            3,
            "no such field",
        ),
        (("--set", "training.device=nonsense"), "training.device", "nonsense", "auto"),
        (
            ("--set", "reputation.enabled=true", "--set", "reputation.policy.decay=2"),
            "reputation.policy.decay",
            2,
            "below 1",
        ),
        (
            (
                *("--set", "reputation.enabled=true", "--set", "reputation.loss_gate.enabled=true"),
                *("--set", "reputation.loss_gate.policy.probes=2"),
            ),
            "reputation.loss_gate.policy.probes",
            2,
            "probe_count",
        ),
        (
            ("--set", "reputation.loss_gate.enabled=true"),
            "reputation.loss_gate.enabled",
            True,
            "reputation.enabled",
        ),
        (("--set", "reputation.groups=address"), "reputation.groups", "address", "enabled"),
        (
            (
                *("--set", "reputation.enabled=true", "--set", "reputation.quotas=true"),
                *("--set", "schedule.mode=synchronous"),
            ),
            "reputation.quotas",
            True,
            "asynchronous",
        ),
    ],
)
def test_bad_values_of_init(p2pfed, words, field, value, fix, tmp_path):
    error = p2pfed.error("init", "mine", *words, code=2)
    assert (error["kind"], error["exit_code"]) == ("ConfigError", 2)
    assert error["field"].startswith(field)
    assert error["value"] == value
    assert fix in error["fix"]
    assert as_in_file(value) in p2pfed.err
    assert len(p2pfed.err.splitlines()) <= 2
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("init",), "Missing argument"),
        (("init", "mine", "--bogus"), "--bogus"),
        (("node", "jump"), "jump"),
        (("topology", "show", "ring", "--nodes", "many"), "--nodes"),
    ],
)
def test_bad_command_lines(p2pfed, words, what):
    error = p2pfed.error(*words, code=2)
    assert what in error["message"]
    assert "--help" in error["message"]


def test_bad_values_elsewhere(p2pfed, tmp_path):
    assert p2pfed.error("node", "run", "nowhere", code=2)["field"] == "run file"
    assert "p2pfed init" in p2pfed.err
    assert p2pfed.error("topology", "show", "knot", "--nodes", 4, code=2)["value"] == "knot"
    assert "degree" in p2pfed.error("topology", "show", "k-regular", "--nodes", 8, code=2)["fix"]
    assert p2pfed.error("data", "fetch", "everything", code=2)["value"] == "everything"
    assert p2pfed.error("sim", "run", "nowhere.toml", code=2)["field"] == "scenario"
    assert p2pfed.error("demo", "--peers", 1, code=2)["field"] == "peers"
    p2pfed.json("init", "mine")
    error = p2pfed.error("node", "run", "mine", "--wait-neighbors-s-max", 5, code=2)
    assert (error["field"], error["value"]) == ("wait-neighbors-s-max", 5.0)
    bad = tmp_path / "bad.toml"
    bad.write_text("[run\n")
    assert "TOML" in p2pfed.error("node", "run", bad, code=2)["fix"]


@pytest.mark.parametrize(
    ("factory", "code", "kind"),
    [
        ("interrupt", 130, "interrupted"),
        ("fail", 1, "ZeroDivisionError"),
        ("local", 3, LocalError.__name__),
        ("network", 4, TransportError.__name__),
        ("remote", 4, SchemaError.__name__),
    ],
)
@pytest.mark.usefixtures("own_tasks")
def test_exit_code_says_whose_fault_it_is(p2pfed, factory, code, kind):
    error = p2pfed.error("init", "mine", "--task", f"failing_tasks:{factory}", code=code)
    assert error["kind"] == kind
    assert "Traceback" not in p2pfed.err
    assert len(p2pfed.err.splitlines()) <= 2


@pytest.mark.usefixtures("own_tasks")
def test_debug_shows_where(p2pfed):
    assert p2pfed("--debug", "init", "mine", "--task", "failing_tasks:fail") == 1
    assert "Traceback" in p2pfed.err
    assert p2pfed.out == ""


@pytest.mark.parametrize(
    ("option", "field"), [("--listen", "node.listen"), ("--peer", "node.peers")]
)
def test_what_is_no_address(p2pfed, option, field):
    p2pfed.json("init", "mine")
    error = p2pfed.error("node", "run", "mine", option, "somewhere", code=2)
    assert (error["field"], error["value"]) == (field, "somewhere")
    assert "/ip4/" in error["fix"]


def test_an_address_that_cannot_be_listened_on(p2pfed):
    p2pfed.json("init", "mine")
    # Reserved for documentation: no machine has it.
    error = p2pfed.error("node", "run", "mine", "--listen", "/ip4/192.0.2.1/tcp/0", code=4)
    assert "192.0.2.1" in error["message"]


@pytest.mark.parametrize("content", ["", "[schedule]\nrounds_max = 3\n"])
def test_run_file_without_a_task(p2pfed, tmp_path, content):
    path = tmp_path / "run.toml"
    path.write_text(content)
    error = p2pfed.error("node", "run", path, code=2)
    assert (error["field"], error["value"]) == ("run.task", None)
    assert str(path) in error["fix"]
    assert "digits" in error["fix"]


def test_genesis_that_is_gone(p2pfed, tmp_path):
    p2pfed.json("init", "mine")
    genesis = tmp_path / "mine" / "genesis.msgpack"
    saved = genesis.read_bytes()
    genesis.unlink()
    error = p2pfed.error("node", "run", "mine", code=2)
    assert (error["field"], error["value"]) == ("genesis", "mine/genesis.msgpack")
    # What it says to do mends it.
    copy, place = error["fix"].split("cp ")[1].split(" (")[0].split()
    assert (tmp_path / copy).read_bytes() == saved
    assert place == error["value"]


def test_state_that_is_damaged(p2pfed, tmp_path):
    p2pfed.json("init", "mine")
    (tmp_path / "mine" / "state" / "state.sqlite").write_bytes(b"no database " * 1_000)
    error = p2pfed.error("node", "run", "mine", code=3)
    assert "mine/state/state.sqlite" in error["message"]
    assert error["kind"] == "LocalError"


def test_saved_record_that_is_damaged(p2pfed, tmp_path):
    p2pfed.json("init", "mine")
    with StateStore(tmp_path / "mine" / "state") as store:
        store.save([Record(key="self/progress", value=b"nonsense")])
    error = p2pfed.error("node", "run", "mine", "--listen", "/ip4/127.0.0.1/tcp/0", code=3)
    assert "mine/state/state.sqlite" in error["message"]
