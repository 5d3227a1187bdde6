"""`p2pfed node status`: what a node does, or did last."""

from dataclasses import replace

import pytest

from p2pfed.core.schedule import Phase
from p2pfed.node.status import write_status
from p2pfed.node.store import StateStore
from tests.cli.test_running import StandingNode, make_chronicle


@pytest.fixture
def last(tmp_path):
    """Return the status that a node wrote while it trained."""
    status = make_chronicle().status(StandingNode())
    write_status(tmp_path, status)
    return status


def test_killed_node_is_not_running(p2pfed, tmp_path, last):
    found = p2pfed.json("node", "status", tmp_path)
    assert (found["running"], found["phase"], found["last_phase"]) == (
        False,
        "not running",
        "training",
    )
    assert p2pfed("node", "status", tmp_path) == 0
    assert f"process {last.pid} ended without leaving" in p2pfed.out
    assert last.updated_at in p2pfed.out


@pytest.mark.usefixtures("last")
def test_running_node_is_in_its_phase(p2pfed, tmp_path):
    with StateStore(tmp_path):
        found = p2pfed.json("node", "status", tmp_path)
    assert (found["running"], found["phase"]) == (True, "training")


def test_node_that_has_left_says_when(p2pfed, tmp_path, last):
    write_status(tmp_path, replace(last, phase=str(Phase.LEFT)))
    assert p2pfed.json("node", "status", tmp_path)["phase"] == "left"
    assert p2pfed("node", "status", tmp_path) == 0
    assert f"no, left {last.updated_at}" in p2pfed.out


def test_that_no_row_was_used_is_shown(p2pfed, tmp_path, last):
    write_status(tmp_path, replace(last, warning="no row of a neighbor was used"))
    assert p2pfed("node", "status", tmp_path) == 0
    assert "no row of a neighbor was used" in p2pfed.out


def test_what_neighbors_have_earned_is_shown(p2pfed, tmp_path, last):
    earned = {"status": "newcomer", "reputation": 0.25, "mass": 0.125}
    write_status(tmp_path, replace(last, reputation={"anna": earned}))
    assert p2pfed("node", "status", tmp_path) == 0
    (line,) = [it for it in p2pfed.out.splitlines() if it.startswith("anna")]
    assert line.split() == ["anna", "no", "-", "newcomer", "0.250", "0.125"]
    assert p2pfed.json("node", "status", tmp_path)["reputation"] == {"anna": earned}
