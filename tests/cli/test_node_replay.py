"""`p2pfed node replay`: what it says of a record, and with which exit code."""

import pytest

from p2pfed.identity import format_peer_id
from tests.core.peers import ANNA
from tests.node import records

PEER = format_peer_id(ANNA.peer)


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "anna.record"
    records.record_solo(path)
    return path


def test_a_record_that_replays_alike(p2pfed, record):
    found = p2pfed.json("node", "replay", record)
    assert found["is_same"]
    assert (found["peer"], found["lives"], found["notes"]) == (PEER, 1, [])
    assert found["difference"] is None
    assert p2pfed("node", "replay", record) == 0
    assert "same     yes" in p2pfed.out


def test_a_difference_is_shown_with_its_event_and_both_effects(p2pfed, record):
    lines = records.read(record)
    effects = next(it for it in lines if it.get("effects"))["effects"]
    _, fields = next(it for it in effects if it[0] == "SetTimer")
    fields["delay_s"] = 77.5
    records.write(record, lines)
    assert p2pfed("node", "replay", record) == 1
    found = p2pfed.out.splitlines()
    assert "same     no" in found[0]
    event, recorded, now = found[-3:]
    assert event.startswith('  ["CommandGiven"')
    assert recorded.startswith('- ["SetTimer"')
    assert '"delay_s": 77.5' in recorded
    assert now.startswith('+ ["SetTimer"')
    assert '"delay_s": 77.5' not in now
    assert not p2pfed.json("node", "replay", record, code=1)["is_same"]


def test_frames_are_shown_as_what_they_say(p2pfed, record):
    lines = records.read(record)
    for line in lines:
        for name, fields in line.get("effects", []):
            if name == "SendFrame":
                fields["frame"] = "wQ=="
    records.write(record, lines)
    assert p2pfed("node", "replay", record) == 1
    recorded, now = p2pfed.out.splitlines()[-2:]
    assert recorded.startswith("- no message (frame)")
    assert now.startswith("+ Hello(")


def test_an_effect_too_few_is_shown(p2pfed, record):
    lines = records.read(record)
    next(it for it in lines if it.get("effects"))["effects"].pop()
    records.write(record, lines)
    assert p2pfed("node", "replay", record) == 1
    assert "\n- nothing more\n" in p2pfed.out


def test_what_is_no_record(p2pfed, tmp_path):
    (tmp_path / "some").write_text("{}\n")
    error = p2pfed.error("node", "replay", tmp_path / "some", code=2)
    assert (error["field"], error["fix"][:17]) == ("record", "line 1 is damaged")
    assert p2pfed.error("node", "replay", tmp_path / "none", code=2)["field"] == "record"
