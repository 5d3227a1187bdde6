"""Both fidelities of the simulator learn the same: bit for bit, where neither hits a deadline."""

from dataclasses import replace
from typing import Any

import pytest

import sim
import sim.rounds
from p2pfed.learn.learner import Plan
from p2pfed.learn.partition import Dirichlet
from p2pfed.learn.steps import Sgd

SEED = 3
SCENARIO: dict[str, Any] = {
    "run": {"task": "digits"},
    "codec": {"name": "float32"},
    "share": {"name": "dirichlet", "alpha": 0.5},
    "training": {
        "steps_per_round": 2,
        "batch_size": 16,
        "threads": 1,
        "device": "cpu",
        "step_rule": {"name": "sgd", "learning_rate": 0.1},
    },
    "integration": {"rule": "trimmed-mean"},
    "schedule": {"mode": "synchronous", "rounds_max": 3, "deadline_s": 60.0},
    "topology": {"name": "k-regular", "nodes": 6, "degree": 4},
    "compute": {"jobs": "sequential"},
}
CONFIG = sim.RoundsConfig(
    task="digits",
    partition=Dirichlet(alpha=0.5),
    plan=Plan(step_rule=Sgd(learning_rate=0.1), steps_per_round=2, batch_size=16),
    topology="k-regular",
    topology_params={"degree": 4},
    peers=6,
    rule="trimmed-mean",
    rounds=3,
    compute="sequential",
    seed=SEED,
)


@pytest.mark.slow
@pytest.mark.parametrize("liar", [None, 2])
def test_rounds_end_with_the_models_of_the_message_simulator(liar: int | None) -> None:
    scenario, fields = dict(SCENARIO), dict[str, Any]()
    if liar is not None:
        # What all reject, so that it does not matter what the liar itself goes on with.
        scenario |= {
            "adversaries": [{"peer": liar, "kind": "scaled-difference", "scale": -10.0}],
        }
        fields = {"liar_indices": (liar,), "attack": "scaling", "attack_params": {"scale": -10.0}}
    simulated = sim.run(scenario, seed=SEED)
    result = sim.rounds.run(replace(CONFIG, **fields))
    for peer, digest in result.model_digests.items():
        assert digest == simulated.model_digests[peer]
    assert result.mean_accuracy == pytest.approx(simulated.metrics["mean_accuracy"])
    assert len(result.accuracies) == (6 if liar is None else 5)
