"""Outer steps in the simulator: what a crash takes from a peer, its disk gives back.

One peer alone: neighbors of one that is gone go on without it.
"""

from typing import Any

import pytest

from sim.building import _build, draw_faults
from sim.faults import plan_faults
from sim.scenario import load_scenario
from sim.world import World

SOLO: dict[str, Any] = {
    "run": {"task": "digits"},
    "training": {
        "steps_per_round": 2,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.5},
    },
    "integration": {"rule": "mean"},
    "schedule": {
        "mode": "synchronous",
        "rounds_max": 6,
        "deadline_s": 100.0,
        "evaluate_every_rounds": 0,
    },
    "topology": {"name": "complete", "nodes": 1},
    "compute": {"training_s": 0.5},
}
CRASHES = [
    {"kind": "crash", "peers": [0], "at_s": 1.9},
    {"kind": "restart", "peers": [0], "at_s": 2.5},
]


def run(outer: str, faults: list[dict[str, Any]]) -> World:
    scenario = load_scenario({**SOLO, "outer": {"name": outer}, "faults": faults})
    world = _build(scenario, 0, {}, [], keeps_models=True)
    plan_faults(world, draw_faults(scenario, 0))
    assert world.run(until_s=600.0, stop=lambda: all(host.is_done for host in world.hosts))
    assert world.status(0).round == 6
    return world


def digests(world: World) -> list[bytes]:
    return [host.bench.digest() for host in world.hosts if host.bench is not None]


@pytest.mark.slow
@pytest.mark.parametrize("outer", ["diloco", "noloco"])
def test_a_restarted_peer_ends_as_if_it_had_never_stopped(outer: str) -> None:
    undisturbed, restarted = run(outer, []), run(outer, CRASHES)
    assert restarted.now_s > undisturbed.now_s
    assert digests(restarted) == digests(undisturbed)
