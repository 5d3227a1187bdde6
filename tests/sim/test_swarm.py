"""Random worlds: faults first, then everything must come right; a failing seed says its replay."""

from dataclasses import replace

import pytest

from p2pfed.core.config import UpdateFamily
from sim.swarm import draw_case, play

SEEDS = range(20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_safety_then_liveness(seed: int) -> None:
    print(f"python -m sim.swarm {seed}")  # pytest shows it when the test fails
    case = draw_case(seed)
    world = play(case)
    rounds = case.schedule.rounds_max
    for host in world.hosts:
        if host.is_honest and host.index not in case.relays:
            assert world.status(host.index).round == rounds


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(it, marks=pytest.mark.nightly) for it in range(4, 8))]
)
def test_safety_then_liveness_of_logs(seed: int) -> None:
    play(replace(draw_case(seed), family=UpdateFamily.LEDGER))


@pytest.mark.nightly
@pytest.mark.parametrize("family", [UpdateFamily.WHOLE, UpdateFamily.LEDGER])
def test_many_seeds(family: UpdateFamily) -> None:
    for seed in range(20, 2_000):
        print(f"python -m sim.swarm {seed}, {family}")
        play(replace(draw_case(seed), family=family))
