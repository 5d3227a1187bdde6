"""Every checker can fail: a core or a host that is broken on purpose trips exactly its own."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from typing import Any, cast, final

import pytest
from msgspec import structs

import topologies
from p2pfed.core.config import CoreConfig, MembershipConfig, ScheduleConfig
from p2pfed.core.effects import CancelTimer, DropPayload, Effect, Notify, Save, SetTimer
from p2pfed.core.events import Event, OffenceKind, PayloadReference
from p2pfed.core.notices import PeerOffended, RoundFinished
from p2pfed.core.peer import PeerCore, PeerStatus
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.identity import Identity
from sim.benches import StubBench
from sim.checkers.blame import HonestUnblamed
from sim.checkers.invariant import InvariantError
from sim.checkers.links import LinksReturn, return_s
from sim.checkers.standard import standard_checkers
from sim.member import make_core
from sim.network import NetworkTiming
from sim.overlay import overlay
from sim.stubs import stub_config
from sim.world import World

pytestmark = pytest.mark.interpreted

Spoil = Callable[[list[Effect]], list[Effect]]


@final
class SpoiledCore:
    """A core whose effects are tampered with on their way to the driver."""

    def __init__(self, core: PeerCore, spoil: Spoil) -> None:
        self._core = core
        self._spoil = spoil

    def handle(self, event: Event, *, now_s: float) -> list[Effect]:
        return self._spoil(self._core.handle(event, now_s=now_s))

    def status(self) -> PeerStatus:
        return self._core.status()

    def own_payload(self) -> PayloadReference | None:
        return self._core.own_payload()


def make_spoiled_world(
    spoil: Spoil | None = None,
    *,
    make: Callable[..., Any] | None = None,
    nodes: int = 3,
    rounds_max: int = 30,
) -> World:
    """Return a complete graph whose peer 0 has the broken core."""
    net = topologies.create("complete", nodes=nodes)
    config = stub_config(schedule=ScheduleConfig(rounds_max=rounds_max))
    members = overlay(net.graph, config, lambda index: StubBench(index), seed=0)

    def make_spoiled(
        config: CoreConfig, identity: Identity, entropy: bytes, records: Mapping[str, bytes]
    ) -> Any:
        core = make_core(config, identity, entropy, records)
        return core if spoil is None else SpoiledCore(core, spoil)

    members[0] = replace(members[0], make_core=make or make_spoiled)
    checkers = [*standard_checkers(), LinksReturn(MembershipConfig(), NetworkTiming())]
    return World(net.graph, members, watchers=checkers)


def run_until_tripped(world: World, checker: str, until_s: float = 200.0) -> None:
    with pytest.raises(InvariantError, match=f"^{checker}: "):
        world.run(until_s=until_s)


def without_saves(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Save)]


def saves_last(effects: list[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: isinstance(effect, Save))


def test_an_unbroken_world_trips_nothing() -> None:
    world = make_spoiled_world(lambda effects: effects)
    assert world.run(until_s=200.0, stop=world.all_done)


@pytest.mark.parametrize("spoil", [without_saves, saves_last])
def test_a_number_that_is_sent_before_it_is_saved(spoil: Spoil) -> None:
    run_until_tripped(make_spoiled_world(spoil), "SavedBeforeSent")


def test_a_number_that_is_used_twice() -> None:
    # A disk that goes back to an older state behind the peer's back, and a core that is not told:
    # its neighbors have crashed too, so nobody is left to say what it sent before.
    world = make_spoiled_world()
    world.run(until_s=4.0)
    host = world.hosts[0]
    backup = deepcopy(host.disk)
    world.run(until_s=8.0)
    for number in range(3):
        world.crash(number)
    host.disk = backup
    with pytest.raises(InvariantError, match=r"^UniqueSequences: peer 0 reused sequence"):
        _restart_and_run(world)


def _restart_and_run(world: World) -> None:
    for number in range(3):
        world.restart(number, lose_disk=number > 0)
    world.run(until_s=60.0)


def test_blame_of_an_honest_peer() -> None:
    victim = make_spoiled_world().hosts[1].peer
    notice = PeerOffended(peer=victim, kind=OffenceKind.FRAME, detail="a lie", banned_s=0.0)
    world = make_spoiled_world(lambda effects: [*effects, Notify(notice=notice)])
    run_until_tripped(world, "HonestUnblamed")


def test_blame_before_the_world_was_ever_looked_at() -> None:
    victim = make_spoiled_world().hosts[1].peer
    notice = PeerOffended(peer=victim, kind=OffenceKind.FRAME, detail="a lie", banned_s=0.0)
    once = iter([Notify(notice=notice)])
    world = make_spoiled_world(lambda effects: [*effects, *islice(once, 1)])
    run_until_tripped(world, "HonestUnblamed")


def test_blame_in_a_world_that_was_looked_at_before() -> None:
    world = make_spoiled_world()
    checker = HonestUnblamed()
    checker.world_checked(world)
    notice = PeerOffended(
        peer=world.hosts[1].peer, kind=OffenceKind.FRAME, detail="a lie", banned_s=0.0
    )
    with pytest.raises(InvariantError, match="peer 0 blames honest peer 1"):
        checker.notice_given(world.hosts[0], notice)


def test_too_many_effects_of_one_event() -> None:
    timer = Timer(kind=TimerKind.START, generation=0)
    world = make_spoiled_world(lambda effects: effects + [CancelTimer(timer=timer)] * 2_000)
    run_until_tripped(world, "BoundedEffects")


def test_timers_that_pile_up() -> None:
    generation = iter(range(10**9, 2 * 10**9))

    def spoil(effects: list[Effect]) -> list[Effect]:
        timer = Timer(kind=TimerKind.LINGER, generation=next(generation))
        return [*effects, SetTimer(timer=timer, delay_s=1e6)]

    run_until_tripped(make_spoiled_world(spoil, rounds_max=60), "BoundedState")


def test_payloads_that_pile_up() -> None:
    def spoil(effects: list[Effect]) -> list[Effect]:
        return [it for it in effects if not isinstance(it, DropPayload)]

    run_until_tripped(make_spoiled_world(spoil, rounds_max=60), "BoundedState")


@pytest.mark.parametrize("own_weight", [1.01, -0.01, math.nan, math.inf])
def test_weights_that_are_no_shares(own_weight: float) -> None:
    def spoil(effects: list[Effect]) -> list[Effect]:
        return [_with_own_weight(effect, own_weight) for effect in effects]

    run_until_tripped(make_spoiled_world(spoil), "BoundedWeights")


def _with_own_weight(effect: Effect, own_weight: float) -> Effect:
    if isinstance(effect, Notify) and isinstance(effect.notice, RoundFinished):
        return Notify(notice=structs.replace(effect.notice, own_weight=own_weight))
    return effect


def test_a_link_that_does_not_come_back() -> None:
    def make(
        config: CoreConfig, identity: Identity, entropy: bytes, records: Mapping[str, bytes]
    ) -> Any:
        deaf = replace(config, run_id=bytes(32))  # another run: everybody refuses it
        return make_core(deaf, identity, entropy, records)

    world = make_spoiled_world(make=make, rounds_max=1_000)
    run_until_tripped(world, "LinksReturn")


@final
class Torn:
    """A world of two peers that are never connected."""

    now_s = 0.0

    def missing_links(self) -> list[tuple[int, int]]:
        return [(0, 1)]


def test_links_have_their_time_after_each_change() -> None:
    torn = Torn()
    world = cast("World", torn)
    within_s = return_s(MembershipConfig(), NetworkTiming())
    checker = LinksReturn(MembershipConfig(), NetworkTiming())
    for changed_s in (0.0, within_s - 1.0, 3.0 * within_s):
        torn.now_s = changed_s
        checker.world_changed(world)
        torn.now_s = changed_s + within_s - 0.1
        checker.world_checked(world)
    torn.now_s += 0.2
    with pytest.raises(InvariantError, match=r"1 links are down .* the first between 0 and 1"):
        checker.world_checked(world)


def test_a_core_that_raises_stops_the_world() -> None:
    class Stumbles(Exception):
        pass

    def spoil(effects: list[Effect]) -> list[Effect]:
        raise Stumbles(effects)

    with pytest.raises(Stumbles):
        make_spoiled_world(spoil).run(until_s=10.0)
