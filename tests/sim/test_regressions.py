"""Bugs that a simulation found, each with the case that showed it."""

from copy import deepcopy
from typing import Any

import topologies
from p2pfed.core.config import MembershipConfig, ScheduleConfig, ScheduleMode, UpdateFamily
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES, StubBench
from sim.cases import Case
from sim.checkers.standard import standard_checkers
from sim.faults import Crash, Restart, Slow
from sim.links import Latency, LinkModel
from sim.overlay import overlay
from sim.stubs import stub_config, stub_world
from sim.swarm import play
from sim.world import World


def test_a_relay_does_not_wait_for_ever_for_a_banned_trainer() -> None:
    # Found as seed 109: the liar was banned while it still trained, so its last word was that it
    # goes on; all others had left, and the relay collected rows for good.
    play(
        Case(
            seed=109,
            topology="complete",
            nodes=7,
            schedule=ScheduleConfig(
                mode=ScheduleMode.ASYNCHRONOUS,
                rounds_max=9,
                deadline_s=5.0,
                linger_s=30.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=LARGE_PAYLOAD_BYTES,
            link=LinkModel(latency_s=0.2, bandwidth_bytes_per_s=1e6),
            start_spread_s=0.1,
            relays=(5,),
            adversaries={0: "wrong-size"},
            faults=(
                Crash(at_s=7.0, peers=(0,)),
                Restart(at_s=12.0, peers=(0,), lose_disk=True),
                Crash(at_s=17.0, peers=(6,), silent=True),
                Restart(at_s=26.0, peers=(6,)),
            ),
        )
    )


def test_a_relay_does_not_wait_after_a_restart_for_whom_it_banned_before() -> None:
    # Found as seed 5756: the only neighbor was banned and left while the relay was down. The next
    # life never met anybody, so that it had nobody's end to end with.
    play(
        Case(
            seed=5756,
            topology="star",
            nodes=4,
            schedule=ScheduleConfig(
                rounds_max=1,
                deadline_s=5.0,
                linger_s=40.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=LARGE_PAYLOAD_BYTES,
            link=LinkModel(),
            start_spread_s=0.1,
            relays=(3,),
            adversaries={0: "wrong-size"},
            faults=(Crash(at_s=11.4, peers=(3,), silent=True),),
            family=UpdateFamily.LEDGER,
        )
    )


def test_a_peer_that_is_proven_to_lie_goes_on_with_its_own_log() -> None:
    # Found as seed 11007: the liar lost its disk, and its neighbors told it of the proof against
    # itself. It took its own log out of the model, and had nothing to add the next entry to.
    play(
        Case(
            seed=11007,
            topology="geometric",
            nodes=5,
            schedule=ScheduleConfig(
                mode=ScheduleMode.SYNCHRONOUS,
                rounds_max=7,
                deadline_s=2.0,
                linger_s=40.0,
                start_deadline_s=10.0,
            ),
            payload_bytes=INLINE_PAYLOAD_BYTES,
            link=LinkModel(
                latency_s=0.2,
                bandwidth_bytes_per_s=1e6,
                loss_ratio=0.02,
                latency=Latency.LOGNORMAL,
                spread_ratio=0.5,
                queue_bytes_max=1_000_000,
            ),
            start_spread_s=0.1,
            relays=(),
            adversaries={3: "equivocation"},
            faults=(
                Crash(at_s=7.418568209483667, peers=(3,), silent=True),
                Restart(at_s=10.93949105832929, peers=(3,), lose_disk=True),
            ),
            family=UpdateFamily.LEDGER,
        )
    )


def test_ledgers_are_compared_when_nobody_can_catch_up_any_more() -> None:
    # Found as seed 7149: large payloads went slowly through the bridge, so that the others were
    # done for long when the last had all. They were still serving, and all agreed in the end.
    play(
        Case(
            seed=7149,
            topology="dumbbell",
            nodes=7,
            schedule=ScheduleConfig(
                rounds_max=12,
                deadline_s=5.0,
                linger_s=40.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=65_536,
            link=LinkModel(
                latency_s=0.2,
                loss_ratio=0.02,
                latency=Latency.LOGNORMAL,
                spread_ratio=0.5,
                reordering_s=0.4,
            ),
            start_spread_s=0.1,
            relays=(),
            adversaries={},
            faults=(),
            family=UpdateFamily.LEDGER,
            membership=MembershipConfig(heartbeat_s=1.0, suspicion_s=4.0, redial_s_max=8.0),
        )
    )


def test_a_peer_in_step_is_heard_again_after_many_rounds_away() -> None:
    # Found as seed 137: the center of a star was away for 16 rounds, and stayed as far behind. Its
    # rows were too old for all others, for good.
    play(
        Case(
            seed=137,
            topology="star",
            nodes=2,
            schedule=ScheduleConfig(
                mode=ScheduleMode.SYNCHRONOUS,
                rounds_max=1,
                deadline_s=5.0,
                linger_s=40.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=INLINE_PAYLOAD_BYTES,
            link=LinkModel(),
            start_spread_s=0.1,
            relays=(),
            adversaries={},
            faults=(Crash(at_s=7.5, peers=(0,), silent=True),),
            endless=(0, 1),
        )
    )


def test_a_relay_in_step_does_not_flood_those_who_train() -> None:
    # Found as seed 515: trainings take longer than the deadline. The relay waited for nobody any
    # more, and its only neighbor had never all differences of the hundred rounds it was behind.
    play(
        Case(
            seed=515,
            topology="line",
            nodes=2,
            schedule=ScheduleConfig(
                mode=ScheduleMode.SYNCHRONOUS,
                rounds_max=1,
                deadline_s=2.0,
                linger_s=40.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=INLINE_PAYLOAD_BYTES,
            link=LinkModel(),
            start_spread_s=0.1,
            relays=(0,),
            adversaries={},
            faults=(),
            family=UpdateFamily.DIFFERENCE,
            endless=(0, 1),
            training_s=3.0,
        )
    )


def test_a_stop_leaves_no_own_entry_out_of_the_ledger() -> None:
    # Found as seed 68: one peer had published when it was told to stop, and not yet integrated.
    play(
        Case(
            seed=68,
            topology="complete",
            nodes=2,
            schedule=ScheduleConfig(
                mode=ScheduleMode.SYNCHRONOUS,
                rounds_max=1,
                deadline_s=2.0,
                linger_s=40.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=LARGE_PAYLOAD_BYTES,
            link=LinkModel(
                latency_s=0.0,
                bandwidth_bytes_per_s=1e6,
                spread_ratio=0.5,
                reordering_s=0.4,
            ),
            start_spread_s=10.0,
            relays=(),
            adversaries={},
            faults=(),
            family=UpdateFamily.LEDGER,
            endless=(0, 1),
        )
    )


def test_a_peer_in_step_follows_one_that_is_rounds_ahead_after_a_gap() -> None:
    # Found as seed 1200: peer 6 was four times as fast, and differences of it were given up. The
    # full update that made up for them stood behind the difference of the own round.
    play(
        Case(
            seed=1200,
            topology="complete",
            nodes=8,
            schedule=ScheduleConfig(
                mode=ScheduleMode.SYNCHRONOUS,
                rounds_max=1,
                deadline_s=2.0,
                linger_s=40.0,
                start_neighbors=1,
                start_deadline_s=10.0,
            ),
            payload_bytes=INLINE_PAYLOAD_BYTES,
            link=LinkModel(
                latency_s=0.0,
                bandwidth_bytes_per_s=1e5,
                latency=Latency.LOGNORMAL,
                spread_ratio=0.5,
                reordering_s=0.4,
            ),
            start_spread_s=0.1,
            relays=(5,),
            adversaries={},
            faults=(Slow(at_s=1.0, peers=(6,), speed_ratio=4.0),),
            family=UpdateFamily.DIFFERENCE,
            endless=tuple(range(8)),
            training_s=3.0,
        )
    )


def test_a_payload_outlives_the_integration_that_reads_it(make_world: Any) -> None:
    # Neighbors that are ten times as fast replace their rows while the slow peer integrates them;
    # a host that finds a payload gone at the end of the job raises.
    world = make_world("complete", 4, rounds_max=40)
    world.set_speed(0, 0.1)
    assert world.run(until_s=600.0, stop=lambda: world.all_done([1, 2, 3]))


def test_a_backup_that_caught_up_unseen_starts_a_new_incarnation() -> None:
    net = topologies.create("complete", nodes=3)
    world = stub_world(net.graph, ScheduleConfig(rounds_max=60, linger_s=60.0))
    host = world.hosts[0]
    world.run(until_s=4.0)
    backup = deepcopy(host.disk)
    world.run(until_s=9.0)
    reached = world.status(0).sequence
    world.crash(0)
    host.disk = backup
    world.partition([[0]])
    world.restart(0)
    world.run(until_s=45.0, stop=lambda: world.status(0).sequence == reached)
    world.set_speed(0, 0.01)
    world.heal()
    assert world.run(until_s=600.0, stop=lambda: world.all_done([1, 2]))


def test_peers_find_each_other_beyond_their_configured_neighbors() -> None:
    # Everybody could reach everybody, but each was told of its neighbors in a line only.
    told, reachable = (topologies.create(name, nodes=6) for name in ("line", "complete"))
    config = stub_config(
        schedule=ScheduleConfig(rounds_max=20), membership=MembershipConfig(neighbors_wanted=3)
    )
    members = overlay(told.graph, config, StubBench, seed=0)
    world = World(reachable.graph, members, watchers=standard_checkers())
    world.run(until_s=15.0)
    assert all(len(world.status(number).neighbors) >= 3 for number in range(6))
