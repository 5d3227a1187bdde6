"""Real node processes: they meet, leave when told, come back, and hand their model on."""

import signal
import time
from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file

from p2pfed.config.files import load
from p2pfed.config.learning import assemble
from p2pfed.identity import Identity
from p2pfed.node.store import StateStore
from tests.cli.command import Process
from tests.processes import free_ports

pytestmark = [pytest.mark.net, pytest.mark.slow]

LISTEN = ("--listen", "/ip4/127.0.0.1/tcp/0")
LEAVE_S_MAX = 30.0  # far above the 3 s that an idle machine needs, far below any linger

# Its first training step does not end, and asks nobody whether to stop.
STUCK_TASK = """
import threading
from dataclasses import replace
from p2pfed.learn.digits import digits

def loss(outputs, labels):
    print("stuck", file=__import__("sys").stderr, flush=True)
    threading.Event().wait(60)

def make():
    return replace(digits(), loss=loss)
"""


def init(p2pfed, name, *, index=0, count=1, **fields):
    fields = {"share.index": index, "share.count": count, "training.threads": 1} | {
        key.replace("__", "."): value for key, value in fields.items()
    }
    words = [word for key, value in fields.items() for word in ("--set", f"{key}={value}")]
    return p2pfed.json("init", name, *words)


def told(node, number, *, code=0):
    """Tell a node to leave; return what it printed in time."""
    node.signal(number)
    asked_s = time.perf_counter()
    outcome = node.result(code=code)
    assert time.perf_counter() - asked_s < LEAVE_S_MAX
    return outcome


def test_two_nodes_learn_together(p2pfed, tmp_path):
    fields = {
        "schedule__mode": "synchronous",
        "schedule__rounds_max": 6,
        "schedule__linger_s": 60.0,
    }
    peers = [init(p2pfed, f"peer-{i}", index=i, count=2, **fields) for i in range(2)]
    (port,) = free_ports(1)
    place = f"/ip4/127.0.0.1/tcp/{port}"
    words = ("--wait-neighbors", 1, "--json")
    meeting = [
        ("--listen", place),
        ("--peer", f"{place}/p2p/{peers[0]['peer_id']}", *LISTEN),
    ]
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                Process("node", "run", f"peer-{i}", *words, *meeting[i], cwd=tmp_path)
            )
            for i in range(2)
        )
        # What a node prints is what others are to be given.
        assert first.line("--peer /ip4/127.0.0.1").split() == list(meeting[1][:2])
        for node in (first, second):
            node.line("training ended")
        assert p2pfed.json("node", "status", "peer-0")["running"] is True
        # They would serve on for a minute; what has finished ends well when it is told to leave.
        outcomes = [
            told(node, number)
            for node, number in ((first, signal.SIGTERM), (second, signal.SIGINT))
        ]
    for index, outcome in enumerate(outcomes):
        assert outcome["peer_id"] == peers[index]["peer_id"]
        assert outcome["run_id"] == peers[index]["run_id"]
        assert (outcome["stop_reason"], outcome["rounds"]) == ("rounds", 6)
        assert outcome["sequence"] == 6
        assert list(outcome["weights_by_peer"]) == [peers[1 - index]["peer_id"]]
        assert 0.0 < outcome["weights_by_peer"][peers[1 - index]["peer_id"]] <= 0.5
        assert outcome["bytes_sent"] > 6 * 2410 * 4  # six updates of the whole small model
        assert outcome["rejected"] == {}
        assert outcome["test_score"] > 0.2
        assert [entry["round"] for entry in outcome["history"]] == [4, 5]
    # Both mix the same two rows with the same weights.
    assert outcomes[0]["model_digest"] == outcomes[1]["model_digest"]
    check_status_afterwards(p2pfed, outcomes[0])
    check_export(p2pfed, tmp_path, outcomes[0])


def check_status_afterwards(p2pfed, outcome):
    found = p2pfed.json("node", "status", "peer-0")
    assert (found["running"], found["phase"], found["round"]) == (False, "left", 6)
    for key in ("peer_id", "test_score", "bytes_sent", "weights_by_peer", "stop_reason"):
        assert found[key] == outcome[key]
    assert p2pfed("node", "status", "peer-0/state") == 0
    assert outcome["peer_id"] in p2pfed.out
    assert next(iter(outcome["weights_by_peer"])) in p2pfed.out


def check_export(p2pfed, tmp_path, outcome):
    found = p2pfed.json("export", "peer-0", "last", "--model", "last")
    assert found["model_digest"] == outcome["model_digest"]
    assert found["files"] == ["README.md", "model.safetensors"]
    assembly = assemble(load(tmp_path / "peer-0" / "run.toml"), Identity.create())
    model = assembly.task.create_model()
    model.load_state_dict(load_file(tmp_path / "last" / "model.safetensors"))
    rows = assembly.task.rows("test")
    batch = rows.batch(torch.arange(len(rows)))
    with torch.no_grad():
        score = float(assembly.task.metric(model(batch.inputs), batch.labels))
    assert score == pytest.approx(outcome["test_score"], abs=1e-6)
    assert p2pfed("export", "peer-0", "best") == 0
    assert p2pfed.error("export", "peer-0", "best", code=2)["field"] == "out"
    with StateStore(tmp_path / "peer-0" / "state"):
        assert "in use" in p2pfed.error("export", "peer-0", "busy", code=3)["message"]
        assert "in use" in p2pfed.error("node", "run", "peer-0", code=3)["message"]


def test_stuck_node_leaves_in_time(p2pfed, tmp_path):
    (tmp_path / "stuck_task.py").write_text(STUCK_TASK)
    p2pfed.json("init", "stuck", "--task", "stuck_task:make")
    with Process("node", "run", "stuck", "--json", *LISTEN, cwd=tmp_path) as node:
        node.line("stuck")
        outcome = told(node, signal.SIGINT, code=130)
    assert (outcome["stop_reason"], outcome["model_digest"]) == ("interrupted", None)
    assert p2pfed.json("node", "status", "stuck")["phase"] == "left"


def test_killed_node_goes_on_where_it_was(p2pfed, tmp_path):
    init(p2pfed, "mine", schedule__rounds_max=0)
    with Process("node", "run", "mine", "--json", *LISTEN, cwd=tmp_path) as node:
        node.line("round 20,")
        node.signal(signal.SIGKILL)
        assert node.end()[0] == -signal.SIGKILL
    before = p2pfed.json("node", "status", "mine")
    assert before["running"] is False
    assert before["phase"] == "not running"
    assert p2pfed("node", "status", "mine") == 0
    assert f"process {before['pid']} ended without leaving" in p2pfed.out
    assert f"in phase {before['last_phase']}" in p2pfed.out
    rounds = before["round"] + 40
    again = p2pfed.json(
        *("node", "run", "mine", *LISTEN, "--rounds", rounds, "--set", "schedule.linger_s=0.0")
    )
    assert again["peer_id"] == before["peer_id"]
    assert again["rounds"] == rounds
    assert again["sequence"] >= rounds > before["sequence"]
    assert f"round {rounds}," in p2pfed.err
    assert "round 1," not in p2pfed.err


def test_node_that_waits_in_vain_says_for_whom(p2pfed, tmp_path):
    init(p2pfed, "mine")
    missing = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
    (port,) = free_ports(1)
    error = p2pfed.error(
        *("node", "run", "mine", *LISTEN, "--peer", f"/ip4/127.0.0.1/tcp/{port}/p2p/{missing}"),
        *("--wait-neighbors", 1, "--wait-neighbors-s-max", 0.5, "--state", "elsewhere"),
        code=4,
    )
    assert (tmp_path / "elsewhere" / "genesis.msgpack").exists()  # missed from now on if it is gone
    assert "0 of 1 neighbors came within 0.5 s" in error["message"]
    assert missing in error["message"]
    assert "--wait-neighbors-s-max" in error["message"]
    assert "waiting up to 0.5 s" in p2pfed.err


def test_no_status_before_a_node_has_run(p2pfed):
    init(p2pfed, "mine")
    assert "p2pfed node run mine" in p2pfed.error("node", "status", "mine", code=3)["message"]
    assert p2pfed.error("export", "mine", "out", code=3)["kind"] == "LocalError"
