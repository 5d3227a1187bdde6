"""Whole worlds whose peers integrate at the ends of windows, or per so many arrivals."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from typing_extensions import override

from p2pfed.core.config import IntegrationMoment, UpdateFamily
from p2pfed.core.notices import Notice, RoundFinished
from sim.clock import Clock
from sim.host import Host
from sim.watching import Watcher
from sim.world import World


class Ends(Watcher):
    """Notes when rounds end, and of how many rows they were."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.at_s: dict[int, list[float]] = defaultdict(list)
        self.rows: dict[int, list[int]] = defaultdict(list)

    @override
    def notice_given(self, host: Host, notice: Notice) -> None:
        if isinstance(notice, RoundFinished):
            self.at_s[host.index].append(self._clock.now_s)
            self.rows[host.index].append(len(notice.verdicts))


def run(world: World) -> Ends:
    ends = Ends(world.clock)
    world.watch(ends)
    assert world.run(until_s=300.0, stop=world.all_done)
    return ends


@pytest.mark.parametrize("family", [UpdateFamily.WHOLE, UpdateFamily.LEDGER])
@pytest.mark.parametrize("integrate", IntegrationMoment)
def test_everybody_finishes(
    make_world: Any, integrate: IntegrationMoment, family: UpdateFamily
) -> None:
    schedule = {"integrate": integrate, "window_s": 2.0, "arrivals": 2, "deadline_s": 5.0}
    world = make_world("k-regular", 6, params={"degree": 3}, schedule=schedule, family=family)
    run(world)
    assert [world.status(number).round for number in range(6)] == [5] * 6


def test_rounds_are_as_long_as_windows(make_world: Any) -> None:
    schedule = {"integrate": IntegrationMoment.WINDOW, "window_s": 3.0, "evaluate_every_rounds": 0}
    ends = run(make_world("ring", 4, schedule=schedule))
    for at_s in ends.at_s.values():
        lengths = [later - earlier for earlier, later in pairwise(at_s)]
        # An integration takes 0.1 s, a tenth more or less.
        assert lengths == pytest.approx([3.0] * 4, abs=0.03)


def test_rounds_of_arrivals_have_rows_of_so_many(make_world: Any) -> None:
    schedule = {"integrate": IntegrationMoment.ARRIVALS, "arrivals": 3}
    ends = run(make_world("complete", 6, schedule=schedule))
    assert min(rows[0] for rows in ends.rows.values()) >= 3


def test_a_silent_neighbor_costs_one_deadline(make_world: Any) -> None:
    schedule = {"integrate": IntegrationMoment.ARRIVALS, "arrivals": 2, "deadline_s": 7.0}
    world = make_world("complete", 3, schedule=schedule)
    world.run(until_s=2.0)
    world.crash(2, silent=True)
    ends = run(world)
    assert world.all_done([0, 1])
    assert max(ends.at_s[0]) < 5 * 2.0 + 2 * 7.0
