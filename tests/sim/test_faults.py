"""Crashes, lost disks, dark machines, partitions and slow machines."""

from copy import deepcopy
from typing import Any

import pytest

from p2pfed.core.events import Command
from p2pfed.core.notices import IncarnationStarted, NeighborLost, Notice
from p2pfed.core.schedule import Phase
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.checkers.sequences import carried_update
from sim.faults import Clog, Crash, Heal, Partition, Restart, Slow, plan_faults
from sim.host import Host
from sim.links import LinkModel
from sim.watching import Watcher
from sim.world import World

MODES = ["synchronous", "asynchronous"]
SIZES = [INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES]


class Witness(Watcher):
    """Remembers which updates and notices a peer gave."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.updates: dict[tuple[int, int], bytes] = {}
        self.notices: list[Notice] = []

    def frame_sent(self, host: Host, peer: bytes, frame: bytes) -> None:
        del peer
        signed = carried_update(frame) if host.index == self.number else None
        if signed is not None and signed.header.author == host.peer:
            self.updates[signed.header.incarnation, signed.header.sequence] = signed.update_id

    def notice_given(self, host: Host, notice: Notice) -> None:
        if host.index == self.number:
            self.notices.append(notice)

    def kinds(self) -> list[type]:
        return [type(notice) for notice in self.notices]


def rounds(world: World) -> list[int]:
    return [world.status(number).round for number in range(len(world.hosts))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("payload_bytes", SIZES)
@pytest.mark.parametrize("silent", [False, True])
def test_a_crashed_peer_does_not_stop_the_others_and_catches_up(
    make_world: Any, mode: str, payload_bytes: int, silent: bool
) -> None:
    world = make_world("ring", 4, mode=mode, rounds_max=20, payload_bytes=payload_bytes)
    witness = Witness(1)
    world.watch(witness)
    world.run(until_s=6.0)
    world.crash(1, silent=silent)
    reached = world.status(1).round
    assert 0 < reached < 20
    world.run(until_s=16.0)
    world.restart(1)
    assert world.status(1).round >= reached - 1
    assert world.run(until_s=300.0, stop=world.all_done)
    assert rounds(world) == [20] * 4
    incarnations = {incarnation for incarnation, _ in witness.updates}
    assert len(incarnations) == 1
    assert sorted(sequence for _, sequence in witness.updates) == list(range(1, 21))
    assert IncarnationStarted not in witness.kinds()


@pytest.mark.parametrize("mode", MODES)
def test_a_peer_that_never_comes_back_is_not_waited_for(make_world: Any, mode: str) -> None:
    world = make_world("complete", 4, mode=mode, rounds_max=10)
    world.run(until_s=3.0)
    world.crash(2)
    assert world.run(until_s=60.0, stop=lambda: world.all_done([0, 1, 3]))
    assert world.phase(2) is None


@pytest.mark.parametrize("payload_bytes", SIZES)
def test_a_lost_disk_starts_a_new_incarnation(make_world: Any, payload_bytes: int) -> None:
    world = make_world("ring", 4, rounds_max=20, payload_bytes=payload_bytes)
    witness = Witness(1)
    world.watch(witness)
    world.run(until_s=6.0)
    world.crash(1)
    world.run(until_s=8.0)
    world.restart(1, lose_disk=True)
    assert world.run(until_s=300.0, stop=world.all_done)
    assert rounds(world) == [20] * 4
    assert len({incarnation for incarnation, _ in witness.updates}) == 2


@pytest.mark.parametrize("payload_bytes", SIZES)
def test_an_old_backup_starts_a_new_incarnation(make_world: Any, payload_bytes: int) -> None:
    world = make_world("ring", 4, rounds_max=20, payload_bytes=payload_bytes)
    witness = Witness(1)
    world.watch(witness)
    world.run(until_s=4.0)
    host = world.hosts[1]
    backup = deepcopy(host.disk)
    world.run(until_s=9.0)
    world.crash(1)
    host.disk = backup
    world.restart(1)
    assert world.run(until_s=300.0, stop=world.all_done)
    assert witness.kinds().count(IncarnationStarted) == 1
    assert len({incarnation for incarnation, _ in witness.updates}) == 2


@pytest.mark.parametrize("mode", MODES)
def test_a_crash_within_a_list_of_effects_repeats_no_number(make_world: Any, mode: str) -> None:
    # From before the Save of an update to after its last frame, every place in between.
    for count in range(12):
        world = make_world("complete", 3, mode=mode, rounds_max=4, seed=count)
        world.run(until_s=2.0)
        world.crash_after_effects(0, count)
        world.run(until_s=5.0)
        world.restart(0)
        assert world.run(until_s=200.0, stop=world.all_done)
        assert rounds(world) == [4] * 3


@pytest.mark.parametrize("mode", MODES)
def test_halves_of_a_partition_go_on_and_meet_again(make_world: Any, mode: str) -> None:
    world = make_world("ring", 4, mode=mode, rounds_max=80)
    witness = Witness(0)
    world.watch(witness)
    world.run(until_s=5.0)
    world.partition([[0, 1]])
    world.run(until_s=6.0)
    before = rounds(world)
    world.run(until_s=40.0)
    assert all(now > then for now, then in zip(rounds(world), before, strict=True))
    assert witness.kinds().count(NeighborLost) == 1  # by suspicion: nobody was told
    assert {edge for edge in world.network.edges if edge not in world.missing_links()}
    world.heal()
    world.run(until_s=90.0)
    assert world.missing_links() == []
    assert world.run(until_s=600.0, stop=world.all_done)
    assert rounds(world) == [80] * 4


@pytest.mark.parametrize("one_way", [False, True])
def test_a_partition_stops_both_ways_or_what_its_groups_send(
    make_world: Any, one_way: bool
) -> None:
    world = make_world("ring", 4)
    plan_faults(world, [Partition(at_s=0.0, groups=((0,), (1,)), one_way=one_way)])
    world.run(until_s=0.0)
    blocked = {pair for pair, wire in world.network.wires.items() if wire.is_blocked}
    from_groups, from_the_rest = {(0, 1), (1, 0), (0, 3), (1, 2)}, {(3, 0), (2, 1)}
    assert blocked == (from_groups if one_way else from_groups | from_the_rest)


def test_who_is_heard_by_nobody_goes_on_with_what_it_hears(make_world: Any) -> None:
    world = make_world("ring", 4, mode="asynchronous", rounds_max=80)
    witness = Witness(0)
    world.watch(witness)
    partition = Partition(at_s=5.0, groups=((0,),), one_way=True)
    plan_faults(world, [partition, Heal(at_s=40.0)])
    world.run(until_s=40.0)
    assert NeighborLost in witness.kinds()  # others hang up on whom they do not hear
    assert world.run(until_s=600.0, stop=world.all_done)
    assert world.missing_links() == []


def test_a_short_partition_breaks_no_connection(make_world: Any) -> None:
    world = make_world("ring", 4, rounds_max=20)
    witness = Witness(0)
    world.watch(witness)
    plan_faults(world, [Partition(at_s=5.0, groups=((0, 1),)), Heal(at_s=9.0)])
    assert world.run(until_s=300.0, stop=world.all_done)
    assert NeighborLost not in witness.kinds()


@pytest.mark.parametrize("mode", MODES)
def test_a_slow_peer_is_waited_for_no_longer_than_the_deadline(make_world: Any, mode: str) -> None:
    world = make_world("ring", 4, mode=mode, rounds_max=10, schedule={"deadline_s": 2.0})
    plan_faults(world, [Slow(at_s=0.5, peers=(2,), speed_ratio=0.05)])
    assert world.run(until_s=60.0, stop=lambda: world.all_done([0, 1, 3]))
    assert world.phase(2) is Phase.TRAINING


def test_a_crash_in_the_middle_of_a_transfer_resumes_or_starts_anew(make_world: Any) -> None:
    # 64 KiB at 20 kB/s: every transfer takes over three seconds, so that each crash hits some.
    world = make_world(
        "line",
        2,
        rounds_max=30,
        payload_bytes=LARGE_PAYLOAD_BYTES,
        link=LinkModel(bandwidth_bytes_per_s=20_000.0),
    )
    faults = [
        fault
        for k in range(4)
        for fault in (
            Crash(at_s=4.0 + 7.0 * k, peers=(k % 2,)),
            Restart(at_s=6.0 + 7.0 * k, peers=(k % 2,)),
        )
    ]
    plan_faults(world, faults)
    assert world.run(until_s=400.0, stop=world.all_done)
    assert rounds(world) == [30] * 2


@pytest.mark.parametrize("mode", MODES)
def test_a_peer_that_leaves_says_goodbye_and_the_others_go_on(make_world: Any, mode: str) -> None:
    world = make_world("complete", 4, mode=mode, rounds_max=15)
    world.run(until_s=5.0)
    world.command(2, Command.LEAVE)
    world.run(until_s=7.0)
    assert world.phase(2) is Phase.LEFT
    assert world.hosts[2].peer not in world.status(0).neighbors
    assert world.run(until_s=100.0, stop=lambda: world.all_done([0, 1, 3]))


@pytest.mark.parametrize("mode", MODES)
def test_a_clogged_link_gives_all_it_kept_and_breaks_no_connection(
    make_world: Any, mode: str
) -> None:
    world = make_world("ring", 4, mode=mode, rounds_max=20)
    witness = Witness(0)
    world.watch(witness)
    plan_faults(world, [Clog(at_s=5.0, links=((1, 0), (0, 1), (0, 2)), for_s=8.0)])
    assert world.run(until_s=300.0, stop=world.all_done)
    assert rounds(world) == [20] * 4
    assert NeighborLost not in witness.kinds()


def test_a_queue_that_overflows_costs_a_connection_and_no_round(make_world: Any) -> None:
    world = make_world(
        "line", 2, rounds_max=20, link=LinkModel(queue_bytes_max=1_000), payload_bytes=256
    )
    witness = Witness(0)
    world.watch(witness)
    plan_faults(world, [Clog(at_s=5.0, links=((0, 1), (1, 0)), for_s=8.0)])
    assert world.run(until_s=300.0, stop=world.all_done)
    assert rounds(world) == [20] * 2
    assert NeighborLost in witness.kinds()


@pytest.mark.parametrize("mode", MODES)
def test_clocks_that_are_wrong_change_no_end(make_world: Any, mode: str) -> None:
    world = make_world("ring", 4, mode=mode, rounds_max=10, clocks_ahead_s=(0.0, 1e6, 3.0, 0.0))
    for number, rate in enumerate((0.9, 1.0, 1.1, 1.0)):
        object.__setattr__(world.hosts[number].member, "clock_rate_ratio", rate)
    assert world.run(until_s=300.0, stop=world.all_done)
    assert rounds(world) == [10] * 4
