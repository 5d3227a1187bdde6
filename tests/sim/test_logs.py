"""Logs that have to reach everybody: whoever has the same ones has the same model."""

import pytest

from p2pfed.core.config import UpdateFamily
from p2pfed.core.schedule import Phase
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.faults import Crash, Restart, plan_faults
from sim.host import Host
from sim.jobs import ComputeModel
from sim.links import LinkModel
from sim.stub_logs import StubLogBench
from sim.world import World
from tests.sim.conftest import MakeWorld

LEDGER = UpdateFamily.LEDGER
DONE = (Phase.DONE, Phase.SETTLING)


def logs(host: Host) -> dict[tuple[bytes, int], tuple[int, int]]:
    assert isinstance(host.bench, StubLogBench)
    return {(bytes(author), life): state for (author, life), state in host.bench.logs.items()}


def digests(world: World) -> set[bytes]:
    return {host.bench.digest() for host in world.hosts if host.bench is not None}


def is_done(world: World, host: Host) -> bool:
    return host.core is not None and world.status(host.index).phase in DONE


def run_until_equal(world: World, *, until_s: float = 300.0) -> None:
    """Run until all peers are done and hold the same logs, with the last own entries in them."""

    def is_over() -> bool:
        return all(is_done(world, host) for host in world.hosts) and len(digests(world)) == 1

    world.run(until_s=until_s, stop=is_over)
    assert len(digests(world)) == 1, [logs(host) for host in world.hosts]


@pytest.mark.parametrize("mode", ["asynchronous", "synchronous"])
@pytest.mark.parametrize("topology", ["line", "ring", "complete"])
def test_everybody_gets_every_log(make_world: MakeWorld, mode: str, topology: str) -> None:
    world = make_world(topology, 5, mode=mode, rounds_max=20, family=LEDGER)
    run_until_equal(world)
    found = logs(world.hosts[0])
    assert {author for author, _ in found} == {host.peer for host in world.hosts}
    assert all(sequence >= 20 for sequence, _ in found.values())


def test_large_entries_are_fetched(make_world: MakeWorld) -> None:
    world = make_world("line", 4, rounds_max=6, payload_bytes=LARGE_PAYLOAD_BYTES, family=LEDGER)
    run_until_equal(world)


def test_losses_and_reordering_change_nothing(make_world: MakeWorld) -> None:
    world = make_world("ring", 5, rounds_max=20, family=LEDGER, link=LinkModel(loss_ratio=0.1))
    run_until_equal(world)


@pytest.mark.parametrize("payload_bytes", [INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES])
@pytest.mark.parametrize("lose_disk", [False, True])
def test_who_was_away_catches_up(
    make_world: MakeWorld, lose_disk: bool, payload_bytes: int
) -> None:
    world = make_world("line", 4, rounds_max=30, family=LEDGER, payload_bytes=payload_bytes)
    world.run(until_s=8.0)
    world.crash(1)
    world.run(until_s=14.0)  # others linger for 20 s, and are there when it is done
    world.restart(1, lose_disk=lose_disk)
    run_until_equal(world)
    lives = [life for author, life in logs(world.hosts[3]) if author == world.hosts[1].peer]
    assert len(lives) == (2 if lose_disk else 1)  # what was learned before counts on


def test_halves_of_a_network_come_together(make_world: MakeWorld) -> None:
    world = make_world("complete", 6, rounds_max=40, family=LEDGER)
    world.run(until_s=5.0)
    world.partition([[0, 1, 2]])
    world.run(until_s=25.0)
    assert len(digests(world)) > 1
    world.heal()
    run_until_equal(world)


def test_who_was_away_for_a_hundred_rounds_catches_up(make_world: MakeWorld) -> None:
    # More entries than one request may ask for, and than anybody keeps.
    world = make_world("line", 3, rounds_max=130, family=LEDGER)
    world.run(until_s=3.0)
    world.crash(2)
    world.run(until_s=140.0)
    assert world.status(0).sequence > 100
    world.restart(2)
    world.run(until_s=146.0)
    known, found = logs(world.hosts[0]), logs(world.hosts[2])
    for host in world.hosts[:2]:
        (writer,) = [writer for writer in known if writer[0] == host.peer]
        assert found[writer][0] > 100


def test_a_newcomer_gets_all_logs_from_one_neighbor(make_world: MakeWorld) -> None:
    # Peer 4 starts when the others have written 70 entries each, most of which nobody keeps: the
    # first are in snapshots that only their authors have sent, to nobody.
    world = make_world("line", 5, rounds_max=100, family=LEDGER)
    world.run(until_s=1.0)
    world.crash(4)
    world.run(until_s=80.0)
    assert all(world.status(number).sequence > 65 for number in range(4))
    world.restart(4, lose_disk=True)
    world.run(until_s=85.0)
    known, found = logs(world.hosts[0]), logs(world.hosts[4])
    old = {writer for writer, (sequence, _) in known.items() if sequence > 65}
    assert len(old) == 4
    assert all(found[writer][0] > 65 for writer in old)


def test_a_proven_liar_counts_nothing_anywhere(make_world: MakeWorld) -> None:
    world = make_world("ring", 5, rounds_max=30, family=LEDGER, adversaries={2: "equivocation"})
    liar = world.hosts[2].peer

    def is_over() -> bool:
        return all(is_done(world, host) for host in world.hosts if host.index != 2)

    world.run(until_s=300.0, stop=is_over)
    for host in world.hosts:
        if host.index != 2:
            assert liar not in {author for author, _ in logs(host)}


@pytest.mark.parametrize("seed", [31, 37, 38])
def test_who_connects_after_a_proof_leaves_out_the_liar_too(
    make_world: MakeWorld, seed: int
) -> None:
    liar = {"adversaries": {1: "equivocation"}, "start_spread_s": 10.0, "seed": seed}
    world = make_world("complete", 4, mode="synchronous", rounds_max=1, family=LEDGER, **liar)
    honest = [host for host in world.hosts if host.index != 1]
    world.run(until_s=60.0)
    assert len({host.bench.digest() for host in honest if host.bench is not None}) == 1


@pytest.mark.parametrize("seed", [1, 5, 6])
def test_logs_of_who_is_banned_by_some_count_at_all(make_world: MakeWorld, seed: int) -> None:
    liar = {"adversaries": {1: "garbage"}, "seed": seed}
    world = make_world("ring", 3, mode="synchronous", rounds_max=3, family=LEDGER, **liar)
    world.run(until_s=60.0)
    assert world.hosts[0].bench is not None
    assert world.hosts[2].bench is not None
    assert world.hosts[0].bench.digest() == world.hosts[2].bench.digest()


# Rounds are much shorter than the way to a neighbor, so that much is on its way at any moment.
FAR = {
    "family": LEDGER,
    "link": LinkModel(latency_s=0.3),
    "compute": ComputeModel(training_s=0.05, integration_s=0.02, jitter_ratio=0.5),
}


@pytest.mark.parametrize("at_s", [0.5, 0.7, 0.9, 1.1])
def test_the_log_of_a_peer_that_is_killed_after_its_last_round_reaches_everybody(
    make_world: MakeWorld, at_s: float
) -> None:
    # Its last entries were on their way, and it has none to write that could make up for them.
    world = make_world("line", 4, rounds_max=20, rounds_max_of={1: 8}, seed=8, **FAR)
    plan_faults(world, [Crash(at_s=at_s, peers=(1,)), Restart(at_s=6.0, peers=(1,))])
    world.run(until_s=6.5)
    run_until_equal(world)
    assert len(logs(world.hosts[3])) == 4


@pytest.mark.slow
def test_nobody_is_blamed_for_answering_who_catches_up(make_world: MakeWorld) -> None:
    # A gap was asked for at every integration, dozens of times before the answer could come, and
    # every time all of it was sent. The checker of blame looks.
    world = make_world("line", 8, rounds_max=60, rounds_max_of={1: 20}, seed=10, **FAR)
    crashes = [Crash(at_s=0.66, peers=(1,)), Crash(at_s=2.47, peers=(0,))]
    restarts = [Restart(at_s=1.68, peers=(1,)), Restart(at_s=6.7, peers=(0,), lose_disk=True)]
    plan_faults(world, [*crashes, *restarts])
    run_until_equal(world)
