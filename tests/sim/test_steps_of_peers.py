"""Peers that take very different numbers of steps learn the digits as those that all take the mean.

A few machines are many times as fast as the others: the numbers follow a power law.
"""

from typing import Any

import pytest

import sim

STEPS = (1, 1, 1, 2, 2, 3, 6, 16)  # their mean is 4
MEAN_STEPS = 4


def accuracy(*, steps: tuple[int, ...], normal_steps: int) -> float:
    step_rule = {"name": "sgd", "learning_rate": 0.1}
    training = {"threads": 1, "normal_steps": normal_steps, "step_rule": step_rule}
    scenario: dict[str, Any] = {
        "training": training,
        "share": {"name": "dirichlet", "alpha": 0.5},
        "integration": {"rule": "mean"},
        "schedule": {"mode": "synchronous", "rounds_max": 25, "evaluate_every_rounds": 25},
        "topology": {"name": "complete", "nodes": len(steps)},
        "variants": [
            {"peers": [peer], "fields": {"training.steps_per_round": count}}
            for peer, count in enumerate(steps)
        ],
    }
    found = sim.run(scenario).metrics["mean_accuracy"]
    assert found is not None
    return found


@pytest.mark.slow
def test_a_power_law_of_scaled_steps_learns_as_their_mean_does() -> None:
    alike = accuracy(steps=(MEAN_STEPS,) * len(STEPS), normal_steps=0)
    assert alike > 0.75
    assert accuracy(steps=STEPS, normal_steps=MEAN_STEPS) > alike - 0.03
    assert accuracy(steps=STEPS, normal_steps=0) < alike - 0.1
