"""Gradients and losses alone at equal bytes: `projected` beside `seeds` on one ledger."""

from statistics import fmean
from typing import Any

import pytest

import sim
from benchmarks.bytes_cells import Publications

DIGITS: dict[str, Any] = {
    "run": {"task": "digits"},
    "codec": {"name": "operation"},
    "share": {"name": "dirichlet", "alpha": 0.5},
    "schedule": {"mode": "synchronous", "rounds_max": 20, "evaluate_every_rounds": 20},
    "topology": {"name": "complete", "nodes": 4},
    "network": {"latency_s": 0.02},
    "compute": {"training_s": 0.5},
}


def means(method: dict[str, Any], *, steps: int, rate: float) -> tuple[float, float]:
    """Return test accuracy, and bytes of an update with header and signature, over three seeds."""
    training = {"steps_per_round": steps, "threads": 1, "device": "cpu"}
    training |= {"step_rule": {"name": "sgd", "learning_rate": rate}}
    accuracies, sizes = [], []
    for seed in range(3):
        watcher = Publications()
        made = {**DIGITS, "method": method, "training": training}
        accuracies.append(sim.run(made, seed=seed, watchers=[watcher]).metrics["mean_accuracy"])
        sizes.append(fmean(watcher.signed_bytes))
    assert None not in accuracies
    return fmean(float(each) for each in accuracies if each is not None), fmean(sizes)


@pytest.mark.nightly
def test_gradients_learn_as_well_as_losses_from_as_many_bytes() -> None:
    # Rates and feedback were chosen on the validation rows of another seed.
    projected = {"name": "projected", "direction_count": 256}
    by_gradients, gradient_bytes = means(projected, steps=10, rate=1.0)
    by_losses, loss_bytes = means({"name": "seeds"}, steps=200, rate=0.015)
    assert gradient_bytes < 1.02 * loss_bytes  # 999 and 1,013
    assert by_gradients >= by_losses  # 0.901 and 0.884
    assert by_losses > 0.85
