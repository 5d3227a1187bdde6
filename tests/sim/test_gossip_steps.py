"""Whole worlds that mix what one training made more than once."""

from typing import Any

import pytest

from sim.benches import StubBench
from tests.sim.test_pacing import run

TARGETS = [[1.0 + (index * (k + 1)) % 7 / 7.0 for k in range(4)] for index in range(6)]


def by_hand(rounds: int, steps: int) -> list[list[float]]:
    """Return what six peers of a ring have after some rounds: a tenth of the way, then mixtures."""
    values = [[0.0] * 4 for _ in TARGETS]
    for _ in range(rounds):
        values = [
            [x + 0.1 * (target - x) for x, target in zip(mine, targets, strict=True)]
            for mine, targets in zip(values, TARGETS, strict=True)
        ]
        for _ in range(steps):
            values = [
                [sum(values[(i + k) % 6][j] for k in (-1, 0, 1)) / 3.0 for j in range(4)]
                for i in range(6)
            ]
    return values


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_peers_mix_as_often_as_they_are_told(make_world: Any, steps: int) -> None:
    world = make_world(
        "ring", 6, mode="synchronous", rounds_max=3, schedule={"gossip_steps": steps}
    )
    run(world)
    for host, expected in zip(world.hosts, by_hand(3, steps), strict=True):
        assert isinstance(host.bench, StubBench)
        assert host.bench.vector == pytest.approx(expected)


def test_who_was_away_in_the_middle_of_a_round_catches_up(make_world: Any) -> None:
    world = make_world(
        "complete", 4, mode="synchronous", rounds_max=6, schedule={"gossip_steps": 3}
    )
    world.run(until_s=1.8)
    world.crash(2)
    world.run(until_s=3.0)
    world.restart(2)
    run(world)
    assert [world.status(number).round for number in range(4)] == [6] * 4
