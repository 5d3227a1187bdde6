"""What noise for privacy costs where changes of weights are products of what trains, and not."""

from typing import Any

import pytest

import sim
from sim.scenario import load_scenario

SEEDS = range(3)
LAYERS = {"targets": ["0"], "modules": ["2"]}
# With it, 120 steps on half of the digits come to epsilon 0.74, whatever trains.
NOISE = 6.0

# Constants, and the best rates for the mean of the seeds without and with the noise: of 0.1, 0.2,
# 0.3, 0.6, 1, 2, 3 and 4 those around it were tried.
METHODS: dict[str, tuple[dict[str, Any], float, float]] = {
    "lora": ({"rank": 8, **LAYERS}, 0.3, 0.3),
    "ffa-lora": ({"rank": 16, **LAYERS}, 3.0, 1.0),
    "fed-sb": ({"rank": 16, **LAYERS}, 2.0, 1.0),
}


def accuracy_of(name: str, rate: float, seed: int, *, private: bool) -> float:
    scenario: dict[str, Any] = {
        "until_s": 1e5,
        "run": {"task": "digits"},
        "method": {"name": name, **METHODS[name][0]},
        "training": {
            "steps_per_round": 10,
            "batch_size": 64,
            "threads": 1,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": rate},
        },
        "integration": {"rule": "mean"},
        "schedule": {"mode": "synchronous", "rounds_max": 12, "evaluate_every_rounds": 12},
        "topology": {"name": "complete", "nodes": 2},
    }
    if private:
        scenario["privacy"] = {"enabled": True, "noise_multiplier": NOISE, "epsilon_max": 1.0}
    result = sim.run(load_scenario(scenario), seed=seed)
    assert [it.stopped for it in result.peers] == ["rounds", "rounds"]
    found = result.metrics["mean_accuracy"]
    assert found is not None
    return float(found)


def points_lost(name: str) -> float:
    """Return by how much noise lowers the accuracy, a mean over the seeds."""
    _, open_rate, private_rate = METHODS[name]
    lost = [
        accuracy_of(name, open_rate, seed, private=False)
        - accuracy_of(name, private_rate, seed, private=True)
        for seed in SEEDS
    ]
    return sum(lost) / len(lost)


@pytest.mark.nightly
def test_noise_costs_less_where_one_factor_trains_than_where_both_do() -> None:
    lost = {name: points_lost(name) for name in METHODS}
    assert lost["ffa-lora"] < lost["lora"]  # 0.184 and 0.221
    assert lost["fed-sb"] < lost["lora"]  # 0.178
