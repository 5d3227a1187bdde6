"""The node's driver, on a network in memory: peers meet, learn, fail, and come back."""

import dataclasses
from contextlib import closing

import pytest
import trio
from blake3 import blake3

from p2pfed.core.config import IntegrationMoment
from p2pfed.core.events import Command, OffenceKind
from p2pfed.core.notices import JobTrouble, PeerRefused, RoundFinished, StopReason
from p2pfed.errors import LocalError
from p2pfed.learn.privacy.accountant import BudgetSpent
from p2pfed.node.recording import RecordFile
from p2pfed.node.replaying import replay_record
from sim.benches import LARGE_PAYLOAD_BYTES, StubBench
from tests.node.swarm import (
    GENESIS,
    RUN_ID,
    SCHEDULE,
    MemoryNetwork,
    identity_of,
    make_config,
    reach,
    running,
)

pytestmark = pytest.mark.slow  # threads, files and real time: a few seconds each

BOUND_S = 30.0


@pytest.mark.parametrize("payload_bytes", [256, LARGE_PAYLOAD_BYTES], ids=["inline", "fetched"])
async def test_two_nodes_learn_from_each_other(tmp_path, payload_bytes):
    network = MemoryNetwork()
    benches = [StubBench(index, payload_bytes=payload_bytes) for index in range(2)]
    with trio.fail_after(BOUND_S):
        async with (
            running(network, 0, tmp_path, bench=benches[0]) as first,
            running(network, 1, tmp_path, bench=benches[1], neighbors=[reach(first)]) as second,
        ):
            for member in (first, second):
                assert (await member.finished()).reason is StopReason.ROUNDS
    for member, other in ((first, 1), (second, 0)):
        verdicts = [v for r in member.all(RoundFinished) for v in r.verdicts]
        assert {verdict.peer for verdict in verdicts} == {identity_of(other).peer}
        assert all(verdict.weight == 0.5 for verdict in verdicts)


async def run_two(folder, **pace):
    """Let two nodes keep a pace until both are done; return them."""
    config = {"schedule": dataclasses.replace(SCHEDULE, **pace)}
    network = MemoryNetwork()
    with trio.fail_after(BOUND_S):
        async with running(network, 0, folder, config=make_config(**config)) as first:
            second_config = make_config([reach(first)], **config)
            async with running(network, 1, folder, config=second_config) as second:
                for member in (first, second):
                    assert (await member.finished()).reason is StopReason.ROUNDS
    return first, second


async def test_nodes_wait_for_the_end_of_windows(tmp_path):
    for member in await run_two(tmp_path, integrate=IntegrationMoment.WINDOW, window_s=0.1):
        assert member.node.status().counters["deadline"] == 4


async def test_nodes_wait_for_arrivals(tmp_path):
    for member in await run_two(tmp_path, integrate=IntegrationMoment.ARRIVALS):
        # In the last round, what the other one sent last may be integrated already.
        assert all(told.verdicts for told in member.all(RoundFinished)[:3])


async def test_lone_node_trains_to_its_end(tmp_path):
    config = make_config(schedule=dataclasses.replace(SCHEDULE, start_neighbors=0))
    with trio.fail_after(BOUND_S):
        async with running(MemoryNetwork(), 0, tmp_path, config=config) as member:
            await member.finished()
    assert len(member.all(RoundFinished)) == 4


async def test_killed_node_goes_on_where_it_was(tmp_path):
    network = MemoryNetwork()
    long = dataclasses.replace(SCHEDULE, rounds_max=6, start_neighbors=0)
    with trio.fail_after(BOUND_S):
        async with running(
            network, 0, tmp_path, config=make_config(schedule=long), leave=False
        ) as member:
            await member.rounds(3)
        sequence = member.node.status().sequence
        async with running(network, 0, tmp_path, config=make_config(schedule=long)) as again:
            assert again.node.status().sequence >= sequence
            assert again.node.peer == member.node.peer
            await again.finished()
    rounds = [r.round for r in member.all(RoundFinished) + again.all(RoundFinished)]
    assert rounds[-1] == 5
    # At most the job in progress is done twice; none is skipped.
    assert sorted(set(rounds)) == list(range(6))
    assert again.node.status().sequence <= 7


async def test_restart_gives_the_same_model_as_no_restart(tmp_path):
    config = make_config(schedule=dataclasses.replace(SCHEDULE, start_neighbors=0))
    with trio.fail_after(BOUND_S):
        async with running(MemoryNetwork(), 0, tmp_path / "whole", config=config) as whole:
            await whole.finished()
        async with running(
            MemoryNetwork(), 0, tmp_path / "killed", config=config, leave=False
        ) as killed:
            await killed.rounds(2)
        async with running(
            MemoryNetwork(), 0, tmp_path / "killed", config=config, bench=StubBench(0)
        ) as again:
            await again.finished()
    assert again.bench.digest() == whole.bench.digest()


async def test_neighbor_that_vanishes_does_not_stop_the_other(tmp_path):
    network = MemoryNetwork()
    schedule = dataclasses.replace(SCHEDULE, mode="synchronous", rounds_max=30)
    with trio.fail_after(BOUND_S):
        async with running(network, 0, tmp_path, config=make_config(schedule=schedule)) as first:
            neighbor = make_config([reach(first)], schedule=schedule)
            async with running(network, 1, tmp_path, config=neighbor, leave=False) as second:
                await first.joined(second.node.peer)
                await second.rounds(2)
                network.vanish(second.node.peer)
            await first.finished()
    assert len(first.all(RoundFinished)) == 30


async def test_broken_link_is_dialed_again(tmp_path):
    network = MemoryNetwork()
    config = make_config(schedule=dataclasses.replace(SCHEDULE, rounds_max=None))
    with trio.fail_after(BOUND_S):
        async with running(network, 0, tmp_path, config=config) as first:
            neighbor = make_config([reach(first)], schedule=config.schedule)
            async with running(network, 1, tmp_path, config=neighbor) as second:
                await first.joined(second.node.peer)
                network.break_link(first.node.peer, second.node.peer)
                await second.lost(first.node.peer)
                joined = len(second.notices)
                await second.wait_for(
                    lambda m: any(type(n).__name__ == "NeighborJoined" for n in m.notices[joined:])
                )


async def test_peer_of_another_run_is_refused_by_name_of_the_field(tmp_path):
    network = MemoryNetwork()
    with trio.fail_after(BOUND_S):
        async with running(network, 0, tmp_path) as first:
            other = make_config([reach(first)], run_id=blake3(b"another").digest())
            async with running(network, 1, tmp_path, config=other) as second:
                await second.wait_for(lambda m: m.all(PeerRefused))
    assert "name" in second.all(PeerRefused)[0].reason


async def test_corrupt_transfer_is_the_servers_offence(tmp_path):
    network = MemoryNetwork()
    benches = [StubBench(index, payload_bytes=LARGE_PAYLOAD_BYTES) for index in range(2)]
    with trio.fail_after(BOUND_S):
        async with running(network, 0, tmp_path, bench=benches[0]) as first:
            with network.corrupting(first.node.peer):
                async with running(
                    network, 1, tmp_path, bench=benches[1], neighbors=[reach(first)]
                ) as second:
                    offences = await second.offended(first.node.peer)
                    await second.finished()
    assert offences[0].kind is OffenceKind.PAYLOAD_HASH


async def test_oversized_frame_is_an_offence(tmp_path):
    network = MemoryNetwork()
    with trio.fail_after(BOUND_S):
        async with (
            running(network, 0, tmp_path) as first,
            running(network, 1, tmp_path, neighbors=[reach(first)]) as second,
        ):
            await first.joined(second.node.peer)
            network.inject_oversized(second.node.peer, first.node.peer, 1 << 32)
            offences = await first.offended(second.node.peer)
    assert offences[0].kind is OffenceKind.LIMIT


async def test_failing_training_is_tried_again(tmp_path):
    config = make_config(
        schedule=dataclasses.replace(SCHEDULE, start_neighbors=0, job_pause_s=0.01)
    )
    with trio.fail_after(BOUND_S):
        async with running(
            MemoryNetwork(), 0, tmp_path, config=config, bench=StubBench(0, failures=2)
        ) as member:
            assert (await member.finished()).reason is StopReason.ROUNDS
    assert len(member.all(JobTrouble)) == 2


async def test_a_spent_budget_ends_training_and_is_named(tmp_path):
    class Spent:
        def __init__(self):
            self._stub = StubBench(0)

        def train(self, effect, should_stop):
            if effect.round == 2:
                raise BudgetSpent("the privacy budget is spent")
            return self._stub.train(effect, should_stop)

        def __getattr__(self, name):
            return getattr(self._stub, name)

    config = make_config(schedule=dataclasses.replace(SCHEDULE, start_neighbors=0))
    with trio.fail_after(BOUND_S):
        async with running(MemoryNetwork(), 0, tmp_path, config=config, bench=Spent()) as member:
            finished = await member.finished()
    assert (finished.reason, finished.rounds) == (StopReason.BUDGET, 2)
    assert member.all(JobTrouble)[0].reason == "the privacy budget is spent"


async def test_training_that_always_fails_ends_the_run_with_its_reason(tmp_path):
    config = make_config(
        schedule=dataclasses.replace(SCHEDULE, start_neighbors=0, job_pause_s=0.01)
    )
    with trio.fail_after(BOUND_S):
        async with running(
            MemoryNetwork(), 0, tmp_path, config=config, bench=StubBench(0, failures=99)
        ) as member:
            assert (await member.finished()).reason is StopReason.FAILED
    assert "the stub was told to fail" in member.all(JobTrouble)[0].reason


async def test_stop_command_ends_training_but_not_the_node(tmp_path):
    config = make_config(schedule=dataclasses.replace(SCHEDULE, start_neighbors=0, rounds_max=None))
    with trio.fail_after(BOUND_S):
        async with running(MemoryNetwork(), 0, tmp_path, config=config) as member:
            await member.rounds(1)
            member.node.command(Command.STOP)
            assert (await member.finished()).reason is StopReason.COMMAND
            assert member.node.status().phase == "done"


async def test_status_before_the_start_is_refused(tmp_path):
    async with running(MemoryNetwork(), 0, tmp_path) as member:
        assert member.node.status().round == 0
    from p2pfed.node.driver import Node

    idle = Node(
        config=make_config(),
        identity=identity_of(3),
        genesis=b"",
        bench=StubBench(3),
        transport=None,
        state=_Folder(tmp_path),
        on_notice=print,
    )
    with pytest.raises(LocalError, match="does not run yet"):
        idle.status()


class _Folder:
    def __init__(self, folder):
        self.folder = folder


async def test_cancelled_requests_do_not_use_up_a_neighbors_transfers(tmp_path):
    network = MemoryNetwork()
    with trio.fail_after(BOUND_S):
        async with (
            running(network, 0, tmp_path) as first,
            running(network, 1, tmp_path, neighbors=[reach(first)]) as second,
        ):
            await first.joined(second.node.peer)
            serve = first.node._serve_payload
            for _ in range(10):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await serve(second.node.peer, RUN_ID, 0)
            source = await serve(second.node.peer, RUN_ID, 0)
    assert source.size_bytes == len(GENESIS)


async def test_what_nodes_recorded_replays_alike(tmp_path):
    network = MemoryNetwork()
    paths = [tmp_path / f"{index}.record" for index in range(2)]
    with (
        trio.fail_after(BOUND_S),
        closing(RecordFile(paths[0], identity_of(0).peer)) as one,
        closing(RecordFile(paths[1], identity_of(1).peer)) as two,
    ):
        async with running(network, 0, tmp_path, record=one) as first:
            neighbors = [reach(first)]
            async with running(network, 1, tmp_path, neighbors=neighbors, record=two) as second:
                await second.finished()
            await first.finished()
    for path in paths:
        replayed = replay_record(path)
        assert replayed.is_same
        assert (replayed.lives, replayed.notes) == (1, ())
        assert replayed.events > 10
