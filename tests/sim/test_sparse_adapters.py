"""Sparse exchange of low-rank adapters: what CELLM and FLASC claim, with every byte counted."""

from typing import Any

import pytest

import sim

DENSE: dict[str, Any] = {
    "run": {"task": "digits"},
    "task": {"hidden_size": 1024},
    "method": {"name": "lora", "rank": 8, "targets": ["0"], "modules": ["2"]},
    "training": {
        "steps_per_round": 5,
        "batch_size": 32,
        "threads": 1,
        "step_rule": {"name": "sgd", "learning_rate": 0.3},
    },
    "share": {"name": "dirichlet", "alpha": 0.3},
    "integration": {"rule": "mean"},
    "schedule": {"mode": "synchronous", "rounds_max": 20, "evaluate_every_rounds": 20},
    "topology": {"name": "k-regular", "nodes": 8, "degree": 4},
    "network": {"latency_s": 0.02},
    "compute": {"training_s": 0.5},
}


@pytest.mark.slow
@pytest.mark.nightly
def test_half_of_the_entries_are_ten_times_fewer_bytes_and_as_accurate() -> None:
    dense = sim.run({**DENSE, "codec": {"name": "float32"}})
    sparse = sim.run({**DENSE, "codec": {"name": "top-k", "density": 0.5}})
    # On the wire: with handshakes, headers and framing.
    assert sum(dense.bytes_sent) > 10 * sum(sparse.bytes_sent)
    assert sparse.metrics["mean_accuracy"] > dense.metrics["mean_accuracy"] - 0.01
    assert dense.metrics["mean_accuracy"] > 0.85
