"""kill -9 in the middle of a demonstration: the others finish, and the killed peer catches up."""

from contextlib import ExitStack

import pytest

from p2pfed.demo.options import DemoOptions
from p2pfed.demo.plan import make_plan
from p2pfed.demo.processes import start_peer
from p2pfed.node.status import read_status
from tests.processes import PeerProcess

pytestmark = [pytest.mark.slow, pytest.mark.net]

ROUNDS = 40


def test_killed_peer_comes_back_and_finishes(tmp_path):
    planned = make_plan(
        DemoOptions(task="digits", peers=4, rounds=ROUNDS, folder=tmp_path / "demo")
    )
    hostile = next(peer for peer in planned if peer.hostile)
    victim, *others = [peer for peer in planned if not peer.hostile]
    with ExitStack() as stack:
        attacker = start_peer(hostile)
        stack.callback(attacker.end)
        stack.callback(attacker.ask_to_end)
        processes = {}
        for peer in (victim, *others):
            processes[peer.index] = process = PeerProcess(peer.folder)
            stack.callback(process.end)

        processes[victim.index].wait_for_line("round 10")
        processes[victim.index].kill()
        killed_at = read_status(victim.state)["round"]
        assert 0 < killed_at < ROUNDS
        for peer in others:
            processes[peer.index].wait_for_line("training ended")
        again = PeerProcess(victim.folder)
        stack.callback(again.end)
        again.wait_for_line("training ended")

        for process in [again, *(processes[peer.index] for peer in others)]:
            process.ask_to_leave()
        came_back = again.outcome()
        outcomes = [processes[peer.index].outcome() for peer in others]

    for outcome in [came_back, *outcomes]:
        assert outcome["rounds"] == ROUNDS
        assert outcome["stop_reason"] == "rounds"
        # Nobody saw a sequence number twice, or anything else that breaks the protocol.
        assert outcome["trouble"] is None
        assert outcome["weights_by_peer"][hostile.identity.text] == 0.0
    # To the last round it used its neighbors' rows, although they had finished long before.
    assert came_back["rejected"]["norm-cap"] >= ROUNDS - killed_at - 1
    assert came_back["peer_id"] == victim.identity.text
    # It goes on from what it had and has caught up: no worse than those who never stopped.
    scores = [outcome["test_score"] for outcome in outcomes]
    assert came_back["test_score"] > min(scores) - 0.1
