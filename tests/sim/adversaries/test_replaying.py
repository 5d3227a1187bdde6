"""Old frames that come again: whose, from when, and that nobody counts anything twice."""

import random
from collections.abc import Mapping
from typing import Any

from p2pfed.core.config import UpdateFamily
from p2pfed.identity import PeerId
from p2pfed.messages import Heartbeat
from p2pfed.wire import frames
from sim.adversaries.frames import Replay
from sim.faults import Crash, Heal, Partition, Restart, plan_faults
from sim.stub_differences import StubDifferenceBench
from sim.stub_logs import StubLogBench, Writer
from sim.world import World
from tests.core.peers import make_hello

BERT, CARL = PeerId(b"b" * 32), PeerId(b"c" * 32)
LIAR = 0
HONEST = (1, 2, 3)
ROUNDS = 12
HELLO = frames.encode(make_hello())
BEAT = frames.encode(Heartbeat(active=True, sightings=()))


def make_replay(ratio: float) -> Replay:
    return Replay(random.Random(0), ratio)


def test_frames_of_the_first_round_come_again_in_the_last() -> None:
    replay = make_replay(ratio=1.0)
    for _ in range(100):
        replay.frame_received(BERT, b"early")
    sent = [frame for _ in range(400) for frame in replay.frames_to_send(BERT, BEAT)]
    assert b"early" in sent[-100:]


def test_frames_of_others_come_again_to_others() -> None:
    replay = make_replay(ratio=1.0)
    replay.frame_received(BERT, b"of Bert")
    assert list(replay.frames_to_send(CARL, BEAT)) == [BEAT, b"of Bert"]


def test_a_new_connection_begins_with_frames_of_earlier_ones() -> None:
    replay = make_replay(ratio=0.0)
    assert list(replay.frames_to_send(BERT, HELLO)) == [HELLO]
    replay.frames_to_send(BERT, BEAT)
    first, *again = replay.frames_to_send(BERT, HELLO)
    assert first == HELLO
    assert len(again) == 8
    assert set(again) == {HELLO, BEAT}


def play(make_world: Any, family: UpdateFamily) -> World:
    """Play a world with a liar that replays while others restart, and part, and meet again."""
    world: World = make_world(
        "complete",
        4,
        rounds_max=ROUNDS,
        family=family,
        adversaries={LIAR: "replay"},
        schedule={"staleness_rounds_max": 10},
    )
    faults = [
        Crash(at_s=3.0, peers=(1,)),
        Restart(at_s=5.0, peers=(1,)),
        Crash(at_s=6.0, peers=(LIAR,)),
        Restart(at_s=7.0, peers=(LIAR,)),
        Partition(at_s=8.0, groups=((2, 3),)),
        Heal(at_s=9.0),
    ]
    plan_faults(world, faults)
    world.run(until_s=60.0)
    assert world.all_done(HONEST)
    return world


def logs_of(world: World, number: int) -> Mapping[Writer, tuple[int, int]]:
    bench = world.hosts[number].bench
    assert isinstance(bench, StubLogBench)
    return bench.logs


def test_no_entry_of_a_log_is_counted_twice(make_world: Any) -> None:
    world = play(make_world, UpdateFamily.LEDGER)
    logs = {world.hosts[number].peer: logs_of(world, number) for number in HONEST}
    # What an author has of itself never came from anybody else.
    own = {
        it: place for author, held in logs.items() for it, place in held.items() if it[0] == author
    }
    for held in logs.values():
        assert {it: place for it, place in held.items() if it[0] in logs} == own


def test_no_difference_is_counted_twice(make_world: Any) -> None:
    # A copy that went astray stops the world.
    world = play(make_world, UpdateFamily.DIFFERENCE)
    for number in HONEST:
        bench = world.hosts[number].bench
        assert isinstance(bench, StubDifferenceBench)
        assert set(bench.copies) >= {world.hosts[it].peer for it in HONEST}
