"""How far a simulation is."""

from collections.abc import Callable

from p2pfed.core.events import Command
from sim.progress import RoundsMeter
from sim.world import World

Told = list[tuple[int, int | None]]


def metered(world: World) -> Told:
    told: Told = []
    meter = RoundsMeter(lambda done, total, _at_s: told.append((done, total)))
    meter.world_began(world)
    world.watch(meter)
    return told


def test_rounds_of_honest_peers_that_train_are_counted(make_world: Callable[..., World]) -> None:
    world = make_world("ring", 4, rounds_max=3, adversaries={0: "replay"}, relays=[1])
    told = metered(world)
    world.run(until_s=120.0, stop=world.all_done)
    assert told == [(done, 6) for done in range(1, 7)]


def test_rounds_that_a_restart_repeats_count_once(make_world: Callable[..., World]) -> None:
    world = make_world("line", 2, rounds_max=3)
    told = metered(world)
    for at_s in (1.0, 2.0, 3.0):
        world.run(until_s=at_s)
        world.crash(0)
        world.restart(0, lose_disk=True)
    world.run(until_s=120.0, stop=world.all_done)
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_peer_that_stops_early_has_no_rounds_left(make_world: Callable[..., World]) -> None:
    world = make_world("line", 2, rounds_max=5)
    told = metered(world)
    world.run(until_s=1.0)
    world.command(0, Command.STOP)
    world.run(until_s=120.0, stop=world.all_done)
    assert told[-1] == (10, 10)
