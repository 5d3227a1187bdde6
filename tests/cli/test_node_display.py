"""What people read of a running node."""

import pytest

from p2pfed.cli.node_display import NodeDisplay, rejection_lines
from p2pfed.cli.output import Output
from p2pfed.core.events import Verdict
from p2pfed.core.notices import (
    Finished,
    LogsLeftOut,
    NeighborsAwaited,
    PartActive,
    PartIdle,
    RoundFinished,
    StopReason,
)
from p2pfed.identity import format_peer_id
from p2pfed.node.awaited import describe_awaited
from p2pfed.node.outcome import NodeEvent
from tests.cli.test_running import StandingNode, make_chronicle

PEERS = [number.to_bytes(32, "big") for number in range(8)]
NAMES = [format_peer_id(peer)[-8:] for peer in PEERS]


def lines_of(*notices, capsys):
    """Return what a node that is not on a terminal prints of a notice."""
    display = NodeDisplay(Output(as_json=True))
    status = make_chronicle().status(StandingNode())
    display.take(NodeEvent(status=status, notice=None))
    capsys.readouterr()
    for notice in notices:
        display.take(NodeEvent(status=status, notice=notice))
    return capsys.readouterr().err.splitlines()


def test_round_names_at_most_five_peers_of_a_reason(capsys):
    verdicts = tuple(Verdict(peer=peer, weight=0.0, reason="norm-cap") for peer in PEERS)
    notice = RoundFinished(
        round=0, loss=None, verdicts=verdicts, own_weight=1.0, evaluation=None, note=""
    )
    (line,) = lines_of(notice, capsys=capsys)
    assert all(name in line for name in NAMES[:5])
    assert not any(name in line for name in NAMES[5:])
    assert "and 3 more" in line


def test_part_that_is_idle_again_is_told_of_once(capsys):
    idle = PartIdle(part="reputation.loss_gate", reason="judges nobody")
    lines = lines_of(idle, PartActive(part=idle.part), idle, capsys=capsys)
    assert lines == ["reputation.loss_gate judges nobody"]


@pytest.mark.parametrize(("rounds", "words"), [(1, "1 round "), (2, "2 rounds ")])
def test_an_end_counts_its_rounds(capsys, rounds, words):
    (line,) = lines_of(Finished(reason=StopReason.ROUNDS, rounds=rounds), capsys=capsys)
    assert line.startswith(f"training ended after {words}(rounds)")


def test_logs_that_are_left_out_are_trouble(capsys):
    assert lines_of(LogsLeftOut(reason="too many"), capsys=capsys) == ["trouble: too many"]


def test_reasons_name_their_peers():
    named = {"peers": {format_peer_id(PEERS[0]): 2}, "more": 4}
    assert rejection_lines({"stale": 9}, {"stale": named}) == [
        f"stale: 9 (…{NAMES[0]} 2, and 4 more peers)"
    ]


def test_status_of_an_earlier_version_has_reasons_without_peers():
    assert rejection_lines({"stale": 9}, {}) == ["stale: 9"]


def test_who_is_missing_is_named_with_the_reason():
    notice = NeighborsAwaited(
        wanted=2, present=1, missing=(PEERS[0],), wait_s_max=600.0, is_over=False
    )
    text = describe_awaited(notice, unreachable={PEERS[0]: "connection refused"})
    assert text == (
        "waiting up to 600 s for neighbors: 1 of 2 neighbors are there; "
        f"missing: {format_peer_id(PEERS[0])} (connection refused)"
    )


def test_who_waits_for_strangers_is_told_that_they_have_to_dial():
    notice = NeighborsAwaited(wanted=1, present=0, missing=(), wait_s_max=5.0, is_over=True)
    text = describe_awaited(notice)
    assert text.startswith("0 of 1 neighbors came within 5 s; ")
    assert "have to dial this peer" in text
