"""What noise on whole rounds costs; docs/privacy.md has the table."""

from typing import Any

import pytest

import sim
from sim.scenario import load_scenario

SCENARIO: dict[str, Any] = {
    "run": {"task": "digits"},
    "method": {"name": "head", "modules": ["2"]},
    "training": {
        "steps_per_round": 200,
        "threads": 1,
        "device": "cpu",
        "step_rule": {"name": "sgd", "learning_rate": 0.5},
    },
    "integration": {"rule": "mean", "norm_cap_ratio": "off", "weights": "uniform"},
    "schedule": {"mode": "synchronous", "rounds_max": 1, "deadline_s": 60.0},
    "topology": {"name": "complete", "nodes": 20},
}


def accuracy_of(noise_multiplier: float | None) -> float:
    scenario = dict(SCENARIO)
    if noise_multiplier is not None:
        scenario["privacy"] = {
            "enabled": True,
            "mechanism": "per-release",
            "clip_norm": 3.0,
            "noise_multiplier": noise_multiplier,
            "epsilon_max": 1e3,
        }
    found = sim.run(load_scenario(scenario), seed=0).metrics["mean_accuracy"]
    assert found is not None
    return float(found)


@pytest.mark.nightly
def test_few_peers_learn_with_little_noise_on_rounds_and_not_with_epsilon_8() -> None:
    assert accuracy_of(None) == pytest.approx(0.73, abs=0.05)
    assert accuracy_of(0.1) == pytest.approx(0.65, abs=0.05)
    assert accuracy_of(0.3) == pytest.approx(0.44, abs=0.08)
    assert accuracy_of(1.3) == pytest.approx(0.14, abs=0.05)
