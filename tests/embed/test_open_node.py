"""Embedding in trio programs, and the examples that show it."""

import pytest
import trio

import p2pfed
from p2pfed.config.templates import template
from p2pfed.core.notices import Left, RoundFinished, StopReason
from p2pfed.node.memory_transport import MemoryNetwork, MemoryTransport
from p2pfed.node.opening import load_identity
from p2pfed.node.replaying import replay_record

pytestmark = pytest.mark.slow


async def test_rounds_given_to_run_replace_those_of_the_file(tmp_path):
    notices = []
    config = template("digits", overrides={"schedule.evaluate_every_rounds": 0})
    with trio.fail_after(30.0):
        async with p2pfed.open_node(
            config,
            state=tmp_path,
            on_notice=notices.append,
            transport=MemoryTransport(MemoryNetwork(), load_identity(tmp_path)),
        ) as node:
            assert await node.run(rounds=3) is StopReason.ROUNDS
            assert node.status().round == 3
    assert sum(isinstance(notice, RoundFinished) for notice in notices) == 3


async def test_what_was_recorded_replays_alike(tmp_path):
    config = template("digits", overrides={"schedule.evaluate_every_rounds": 0})
    with trio.fail_after(30.0):
        async with p2pfed.open_node(
            config,
            state=tmp_path / "state",
            transport=MemoryTransport(MemoryNetwork(), load_identity(tmp_path / "state")),
            record=str(tmp_path / "record"),
        ) as node:
            await node.run(rounds=2)
    replayed = replay_record(tmp_path / "record")
    assert (replayed.is_same, replayed.lives, replayed.notes) == (True, 1, ())


async def test_stop_ends_run(tmp_path):
    config = template("digits", overrides={"schedule.rounds_max": 0})
    with trio.fail_after(30.0):
        async with p2pfed.open_node(
            config,
            state=tmp_path,
            transport=MemoryTransport(MemoryNetwork(), load_identity(tmp_path)),
        ) as node:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.run)
                node.stop()
            assert node.status().phase == "done"


async def test_cancelled_block_still_says_goodbye(tmp_path):
    notices = []
    config = template("digits", overrides={"schedule.rounds_max": 0})
    with trio.fail_after(30.0), trio.CancelScope() as scope:
        async with p2pfed.open_node(
            config,
            state=tmp_path,
            on_notice=notices.append,
            transport=MemoryTransport(MemoryNetwork(), load_identity(tmp_path)),
        ) as node:
            scope.cancel()
            await node.run()
    assert scope.cancelled_caught
    assert isinstance(notices[-1], Left)
