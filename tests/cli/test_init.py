"""`p2pfed init`: a folder that a node runs from, or nothing at all."""

import stat
import tomllib

import pytest

from p2pfed.config.files import load
from p2pfed.wire import genesis as genesis_format

# A task whose options decide what the model looks like.
TASK = """
import torch
from p2pfed.learn.task import Task
from p2pfed.learn.digits import digits
from dataclasses import replace

def make(width=4):
    def create():
        return torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.Linear(width, 10))
    return replace(digits(), create_model=create)
"""


def test_new_run(p2pfed, tmp_path):
    found = p2pfed.json(
        *("init", "mine", "--name", "trial", "--seed", 7),
        *("--set", "schedule.rounds_max=3", "--set", "codec.name=int8", "--set", "codec.block=32"),
    )
    config = load(tmp_path / found["run_file"])
    assert (config.run.name, config.run.seed, config.run.task) == ("trial", 7, "digits")
    assert config.schedule.rounds_max == 3
    assert (config.codec.name, config.codec.constants) == ("int8", {"block": 32})
    genesis = (tmp_path / "mine" / "genesis.msgpack").read_bytes()
    assert genesis_format.run_id(genesis).hex() == found["run_id"]
    assert genesis_format.decode(genesis).name == "trial"
    key = tmp_path / found["state"] / "identity.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert found["peer_id"].startswith("12D3KooW")
    assert found["next"] == "p2pfed node run mine"


def test_constants_of_rules_and_policies_can_be_read_again(p2pfed, tmp_path):
    found = p2pfed.json(
        *("init", "mine", "--set", "integration.rule=norm-clipping"),
        *("--set", "integration.params.radius=0.5", "--set", "reputation.enabled=true"),
        *("--set", "reputation.policy.ban_streak=5"),
        *("--set", "integration.prioritizer.enabled=true"),
        *("--set", "integration.prioritizer.draw=nearest"),
    )
    config = load(tmp_path / found["run_file"])
    assert config.integration.params == {"radius": 0.5}
    assert config.reputation.policy == {"ban_streak": 5}
    assert config.integration.prioritizer.enabled
    assert config.integration.prioritizer.draw == "nearest"


def test_shown_to_people(p2pfed):
    assert p2pfed("init", "mine") == 0
    assert "12D3KooW" in p2pfed.out
    assert "p2pfed node run mine" in p2pfed.out
    assert p2pfed.err == ""


def test_equal_runs_have_one_id_and_different_peers(p2pfed):
    found = [p2pfed.json("init", name) for name in ("one", "two")]
    other = p2pfed.json("init", "three", "--seed", 1)
    assert found[0]["run_id"] == found[1]["run_id"] != other["run_id"]
    assert found[0]["peer_id"] != found[1]["peer_id"]


def test_nothing_is_overwritten(p2pfed, tmp_path):
    p2pfed.json("init", "mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    error = p2pfed.error("init", "mine", "--seed", 1, code=2)
    assert (error["field"], error["value"]) == ("folder", "mine")
    assert "another folder" in error["fix"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_task_of_the_current_folder(p2pfed, tmp_path):
    (tmp_path / "wide_task.py").write_text(TASK)
    found = p2pfed.json("init", "mine", "--task", "wide_task:make", "--set", "task.width=6")
    text = (tmp_path / found["run_file"]).read_text()
    assert tomllib.loads(text)["task"] == {"width": 6}
    genesis = genesis_format.decode((tmp_path / "mine" / "genesis.msgpack").read_bytes())
    shapes = {entry.name: entry.shape for entry in genesis.parameters}
    assert shapes["0.weight"] == (6, 64)


@pytest.mark.parametrize(
    "words", [("--seed", "3"), ("--name", "x"), ("--task", "digits")], ids=lambda words: words[0]
)
def test_what_the_members_decide_is_not_asked(p2pfed, words):
    member = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWEANT2hbBYLskoiyfr4VmQpKYfPJBn36PVtRgQfZmrxz8"
    error = p2pfed.error("init", "mine", "--from", member, *words, code=2)
    assert error["field"] == words[0].removeprefix("--")


@pytest.mark.parametrize(
    "member", ["somewhere", "/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/udp/4001/quic-v1"]
)
def test_member_without_an_address(p2pfed, member):
    error = p2pfed.error("init", "mine", "--from", member, code=2)
    assert error["value"] == member
    assert "/p2p/<PeerID>" in error["fix"]
