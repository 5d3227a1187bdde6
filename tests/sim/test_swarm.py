"""Random worlds: faults first, then everything must come right; a failing seed says its replay."""

import pytest

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


@pytest.mark.nightly
def test_many_seeds() -> None:
    for seed in range(20, 2_000):
        print(f"python -m sim.swarm {seed}")
        play(draw_case(seed))
