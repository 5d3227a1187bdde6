"""A simulated machine by itself."""

import sys
from typing import Any, get_args, get_type_hints

import pytest

from p2pfed.core.effects import Effect
from sim.disk import Disk
from sim.host import BEGINNINGS


def test_every_effect_begins_somehow() -> None:
    assert set(BEGINNINGS) == set(get_args(Effect))


@pytest.mark.parametrize("kind", BEGINNINGS, ids=lambda kind: kind.__name__)
def test_each_effect_is_begun_by_what_takes_it(kind: type) -> None:
    assert get_type_hints(BEGINNINGS[kind])["effect"] is kind


def test_the_disk_holds_no_copy_of_the_own_payload(make_world: Any) -> None:
    world = make_world("line", 2)
    world.run(until_s=4.0)
    host = world.hosts[0]
    payload = host.core.own_payload().inline
    assert any(payload in record for record in host.disk.records().values())
    holders = sys.getrefcount(payload)
    host.disk = Disk()
    assert sys.getrefcount(payload) == holders - 1
