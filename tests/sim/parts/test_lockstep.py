"""Parts of a world keep step: what happens is what happens in one piece."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from torch import Tensor

from sim.cases import Case, draw_case
from sim.checkers.invariant import InvariantError
from sim.clock import nanoseconds
from sim.documents import with_overrides
from sim.faults import plan_faults
from sim.links import Drawn, Latency
from sim.network import Parcel
from sim.outcomes import Ended, ended, join
from sim.parts.here import PartHere
from sim.parts.lockstep import Played, Stepped, play
from sim.parts.relay import Relay, Told
from sim.parts.staging import part_here
from sim.players import Alone
from sim.scenario import load_scenario
from sim.swarm import make_world
from sim.watching import Watcher
from sim.world import World
from tests.sim.short import SHORT

UNTIL_S = 30.0  # most of the faults, and some of what follows
CASES = range(12)
NIGHTLY = range(len(CASES), 500)


class Witness(Watcher):
    """Writes down what peers tell."""

    def __init__(self) -> None:
        self.told: list[tuple[float, int, str]] = []

    def notice_given(self, host, notice) -> None:  # type: ignore[no-untyped-def]
        self.told.append((host.now_s, host.index, repr(notice)))


def with_delays(case: Case) -> Case:
    """Return a case in which every message takes some time."""
    if case.link.latency_s_min > 0.0:
        return case
    latency = (Latency.CONSTANT, Latency.UNIFORM)[case.seed % 2]
    drawn = Drawn.EDGE if latency is Latency.CONSTANT else Drawn.MESSAGE
    link = replace(case.link, latency_s=0.2, latency=latency, drawn=drawn, spread_ratio=0.5)
    return replace(case, link=link)


def in_one_piece(case: Case) -> tuple[World, Witness]:
    world = make_world(case)
    witness = Witness()
    world.watch(witness)
    plan_faults(world, case.faults)
    world.run(until_s=UNTIL_S)
    return world, witness


def in_parts(case: Case, count: int) -> tuple[Ended, list[Told]]:
    part_of = [number % count for number in range(case.nodes)]
    parts = []
    for part in range(count):
        world = make_world(case, here=[n for n, it in enumerate(part_of) if it == part])
        relay = Relay()
        world.watch(relay)
        plan_faults(world, case.faults)
        parts.append(PartHere(part, world, part_of, lambda: False, relay))
    latency_ns = parts[0].world.network.latency_ns_min
    assert latency_ns is not None
    told: list[Told] = []
    play(
        parts,
        latency_ns=latency_ns,
        until_ns=nanoseconds(UNTIL_S),
        tell=lambda stepped: told.extend(one for it in stepped for one in it.told),
    )
    return join([part.ended() for part in parts]), told


def assert_alike(seed: int) -> None:
    case = with_delays(draw_case(seed))
    world, witness = in_one_piece(case)
    whole = ended(world)
    for count in (2, 3):
        found, told = in_parts(case, count)
        assert found.digests == whole.digests, f"seed {seed} in {count} parts"
        assert (found.outcomes, found.events) == (whole.outcomes, whole.events)
        assert tuple(found.bytes_sent) == whole.bytes_sent
        notices = [
            (it.at_ns / 1e9, it.number, repr(it.said))
            for it in told
            if not isinstance(it.said, str)
        ]
        assert sorted(notices) == sorted(witness.told)


@pytest.mark.parametrize("seed", CASES)
def test_a_world_in_parts_is_the_world(seed: int) -> None:
    assert_alike(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", NIGHTLY)
def test_many_worlds_in_parts_are_the_worlds(seed: int) -> None:
    assert_alike(seed)


@pytest.mark.parametrize("seed", range(2))
def test_who_is_done_and_loses_its_disk_ends_a_world_in_parts_when_it_ends_a_whole_one(
    seed: int,
) -> None:
    back = {"kind": "restart", "at_s": 20.3, "peers": [3], "lose_disk": True}  # it still lingers
    changes = {"topology.nodes": 4, "schedule.linger_s": 60.0, "faults": [back]}
    scenario = load_scenario(with_overrides(SHORT, {**changes, "compute.jobs": "sequential"}))
    alone = Alone(scenario, seed, [])
    alone.play()
    parts = [part_here(scenario, seed, [0, 0, 1, 1], number) for number in (0, 1)]
    latency_ns = parts[0].world.network.latency_ns_min
    assert latency_ns is not None
    until_ns = nanoseconds(scenario.world.until_s)
    played = play(parts, latency_ns=latency_ns, until_ns=until_ns, tell=lambda _: None)
    assert played.end_ns / 1e9 == alone.end_s > 20.3
    assert join([part.ended() for part in parts]).digests == alone.ended().digests


def test_batches_that_parts_compute_together_survive_crashes_and_repeat() -> None:
    faults = [
        {"kind": "crash", "at_s": at_s, "peers": [number]}
        for at_s, number in ((0.9, 0), (2.2, 3), (2.6, 1))
    ] + [{"kind": "restart", "at_s": 4.0, "peers": [0, 1, 3]}]
    scenario = load_scenario(with_overrides(SHORT, {"topology.nodes": 4, "faults": faults}))

    def played() -> tuple[Ended, list[int]]:
        parts = [part_here(scenario, 0, [0, 0, 1, 1], number) for number in (0, 1)]
        asked: list[int] = []
        for part in parts:
            compute = part.world.calculator.compute
            part.world.calculator.compute = lambda kind, compute=compute: (  # type: ignore[method-assign]
                asked.append(kind),
                compute(kind),
            )
        latency_ns = parts[0].world.network.latency_ns_min
        assert latency_ns is not None
        until_ns = nanoseconds(scenario.world.until_s)
        play(parts, latency_ns=latency_ns, until_ns=until_ns, tell=lambda _: None)
        return join([part.ended() for part in parts]), asked

    ended_once, asked = played()
    ended_again, asked_again = played()
    assert ended_once.digests == ended_again.digests
    assert ended_once.outcomes == ended_again.outcomes
    assert asked == asked_again
    assert set(asked) == {0, 1}  # trainings and integrations


class Turn(NamedTuple):
    """What a scripted part says at the end of a step."""

    next_ns: int | None
    turns: tuple[tuple[int, bool], ...] = ()
    fails: bool = False
    first_ends_ns: tuple[int | None, ...] = (None, None)


class Scripted:
    """Says what it is told to, and writes down up to when it was asked to go on."""

    def __init__(self, *script: Turn) -> None:
        self.script = list(script)
        self.ends_ns: list[int] = []
        self.kinds: list[tuple[int, ...]] = []
        self.has_begun = False

    def begin(self, end_ns: int, parcels: Sequence[Parcel], kinds: Sequence[int]) -> None:
        assert not self.has_begun
        assert not parcels
        self.has_begun = True
        self.kinds.append(tuple(kinds))
        self.ends_ns.append(end_ns)

    def end(self) -> Stepped:
        self.has_begun = False
        turn = self.script.pop(0) if self.script else Turn(None)
        if turn.fails:
            raise InvariantError("Scripted", "is to fail")
        return Stepped(
            next_ns=turn.next_ns,
            last_ns=max(0, self.ends_ns[-1] - 1),
            first_ends_ns=turn.first_ends_ns,
            sent={},
            arrival_ns=None,
            turns=turn.turns,
            told=(),
            events=0,
        )

    def check(self) -> None: ...

    def ended(self) -> Ended:
        raise NotImplementedError

    def link_bytes(self) -> list[tuple[tuple[int, int], int]]:
        raise NotImplementedError

    def vector_sum(self, numbers: Collection[int]) -> tuple[Tensor | None, int]:
        raise NotImplementedError

    def square_sum(self, numbers: Collection[int], mean: Tensor) -> float:
        raise NotImplementedError


def drive(*parts: Scripted, until_ns: int = 1_000) -> Played:
    return play(parts, latency_ns=10, until_ns=until_ns, tell=lambda _: None)


def test_a_step_is_a_delay_long_and_times_without_events_are_skipped() -> None:
    first, second = Scripted(Turn(5), Turn(70)), Scripted(Turn(7))
    assert drive(first, second) == Played(end_ns=79, last_ns=79, is_over=False)
    assert first.ends_ns == second.ends_ns == [0, 15, 80]


def test_it_is_over_when_all_are_at_once_and_goes_on_for_a_delay() -> None:
    first = Scripted(Turn(0), Turn(9, ((4, True), (6, False), (8, True))), Turn(18))
    second = Scripted(Turn(0), Turn(9, ((5, True), (6, False), (7, True))), Turn(18))
    assert drive(first, second) == Played(end_ns=5, last_ns=15, is_over=True)
    assert first.ends_ns == [0, 10, 16]


def test_nothing_happens_after_the_time_is_up() -> None:
    first = Scripted(Turn(0), Turn(98), Turn(101))
    assert drive(first, until_ns=100) == Played(end_ns=100, last_ns=100, is_over=False)
    assert first.ends_ns == [0, 10, 101]


def test_a_part_that_fails_leaves_the_others_at_the_end_of_their_step() -> None:
    first, second = Scripted(Turn(0), Turn(None, fails=True)), Scripted(Turn(0), Turn(3))
    with pytest.raises(InvariantError, match="is to fail"):
        drive(first, second)
    assert not second.has_begun


def test_all_parts_compute_what_is_due_in_one_of_them() -> None:
    # What ends at 20 is left for a step that reaches it, in which the first part ends at 25.
    first = Scripted(Turn(5, first_ends_ns=(None, 20)), Turn(16, first_ends_ns=(25, 20)), Turn(90))
    second = Scripted(Turn(5, first_ends_ns=(None, None)), Turn(30, first_ends_ns=(26, None)))
    drive(first, second)
    assert first.ends_ns == second.ends_ns == [0, 15, 26, 100]
    assert first.kinds == second.kinds == [(), (), (0, 1), ()]
