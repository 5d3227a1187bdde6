"""A simulated machine by itself."""

import sys
from typing import Any, get_args, get_type_hints

import pytest

from p2pfed.core.effects import Effect, SetTimer
from p2pfed.core.timers import Timer, TimerKind
from sim.disk import Disk
from sim.host import BEGINNINGS

pytestmark = pytest.mark.interpreted


def test_every_effect_begins_somehow() -> None:
    assert set(BEGINNINGS) == set(get_args(Effect))


@pytest.mark.parametrize("kind", BEGINNINGS, ids=lambda kind: kind.__name__)
def test_each_effect_is_begun_by_what_takes_it(kind: type) -> None:
    assert get_type_hints(BEGINNINGS[kind])["effect"] is kind


@pytest.mark.parametrize(("rate", "after_s"), [(1.0, 3.0), (2.0, 1.5), (0.5, 6.0)])
def test_a_timer_runs_by_the_peers_own_clock(make_world: Any, rate: float, after_s: float) -> None:
    world = make_world("line", 2, clock_rates=(rate, 1.0), start_spread_s=1e6)
    timer = Timer(kind=TimerKind.HEARTBEAT, generation=1)
    BEGINNINGS[SetTimer](world.hosts[0], SetTimer(timer=timer, delay_s=3.0))
    assert world.clock.next_ns() == after_s * 1e9


def test_the_disk_holds_no_copy_of_the_own_payload(make_world: Any) -> None:
    world = make_world("line", 2)
    world.run(until_s=4.0)
    host = world.hosts[0]
    payload = host.core.own_payload().inline
    assert any(payload in record for record in host.disk.records().values())
    holders = sys.getrefcount(payload)
    host.disk = Disk()
    assert sys.getrefcount(payload) == holders - 1
