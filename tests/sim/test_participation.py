"""Whole worlds in which some peers are slow or seldom there, and count more therefore."""

from collections import defaultdict
from typing import Any

import pytest
from typing_extensions import override

from p2pfed.core.config import ParticipationConfig
from p2pfed.core.effects import Effect, StartIntegration
from p2pfed.core.events import Event
from p2pfed.identity import PeerId
from sim.faults import Slow, plan_faults
from sim.host import Host
from sim.watching import Watcher
from sim.world import World

pytestmark = pytest.mark.slow  # half a second each

WEIGHTS = ParticipationConfig(base=0.5, weight_max=8.0, interval_max=20)
SLOW = 3


class Importances(Watcher):
    """Notes how much the rows of each peer count at peer 0."""

    def __init__(self, world: World) -> None:
        self._names = {host.member.identity.peer: host.index for host in world.hosts}
        self.of: dict[int, list[float]] = defaultdict(list)

    @override
    def event_handled(self, host: Host, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if host.index == 0 and isinstance(effect, StartIntegration):
                for row in effect.rows:
                    self.of[self._number(row.peer)].append(row.importance)

    def _number(self, peer: PeerId) -> int:
        return self._names[peer]


def slow_world(make_world: Any) -> World:
    """Return a world whose last peer is four times slower than the others."""
    rounds = {"staleness_rounds_max": 0, "evaluate_every_rounds": 0}
    world: World = make_world("complete", 4, rounds_max=60, schedule=rounds, participation=WEIGHTS)
    plan_faults(world, [Slow(at_s=0.5, peers=(SLOW,), speed_ratio=0.25)])
    return world


def test_a_peer_that_is_four_times_slower_counts_four_times_as_much(make_world: Any) -> None:
    world = slow_world(make_world)
    importances = Importances(world)
    world.watch(importances)
    assert world.run(until_s=300.0, stop=lambda: world.all_done([0]))
    fast = importances.of[1][-1]
    assert 0.5 <= fast < 0.6
    assert 3.2 < importances.of[SLOW][-1] / fast < 4.4


def test_a_restart_forgets_nothing_of_it(make_world: Any) -> None:
    world = slow_world(make_world)
    importances = Importances(world)
    world.watch(importances)
    world.run(until_s=30.0)
    before = importances.of[SLOW][-1]
    world.crash(0)
    world.restart(0)
    count = len(importances.of[SLOW])
    assert world.run(until_s=60.0, stop=lambda: len(importances.of[SLOW]) > count)
    assert before > 1.5  # a newcomer has 0.5
    assert importances.of[SLOW][-1] > 0.8 * before
