"""Worlds whose updates are differences: copies follow their authors, whatever is lost."""

from typing import Any

import pytest

from p2pfed.core.config import UpdateFamily
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.faults import Crash, Heal, Partition, Restart, plan_faults
from sim.links import LinkModel
from sim.stub_differences import StubDifferenceBench
from sim.world import World

DIFFERENCE = UpdateFamily.DIFFERENCE


def values(world: World) -> list[int]:
    benches = [host.bench for host in world.hosts]
    return [bench.value for bench in benches if isinstance(bench, StubDifferenceBench)]


@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
@pytest.mark.parametrize("payload_bytes", [INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES])
def test_peers_come_near_each_other(make_world: Any, mode: str, payload_bytes: int) -> None:
    world = make_world(
        "ring", 4, mode=mode, rounds_max=30, family=DIFFERENCE, payload_bytes=payload_bytes
    )
    assert world.run(until_s=300.0, stop=world.all_done)
    assert min(values(world)) > 800
    assert max(values(world)) - min(values(world)) < 300


@pytest.mark.parametrize("lose_disk", [False, True])
def test_a_peer_that_was_away_is_followed_again(make_world: Any, lose_disk: bool) -> None:
    world = make_world("ring", 4, rounds_max=30, family=DIFFERENCE, link=LinkModel(loss_ratio=0.05))
    plan_faults(
        world,
        [
            Crash(at_s=4.0, peers=(1,), silent=True),
            Partition(at_s=6.0, groups=((2,),)),
            Restart(at_s=12.0, peers=(1,), lose_disk=lose_disk),
            Heal(at_s=26.0),
        ],
    )
    assert world.run(until_s=600.0, stop=world.all_done)
    assert min(values(world)) > 800
