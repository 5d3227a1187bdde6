"""The run files that `p2pfed init` begins with suit task and method."""

from typing import Any

import pytest

import sim
from p2pfed.config.templates import template

SEEDS: dict[str, Any] = {"method.name": "seeds", "codec.name": "operation"}


def test_seeds_takes_many_short_steps() -> None:
    training = template("digits", overrides=SEEDS).training
    assert training.step_rule.constants == {"learning_rate": 0.01}
    assert training.steps_per_round == 50
    assert (training.batch_size, training.threads) == (32, 1)


def test_methods_by_gradients_keep_the_steps_of_the_task() -> None:
    training = template("digits", overrides={**SEEDS, "method.name": "projected"}).training
    assert training.step_rule.constants == {"learning_rate": 0.3}


def test_what_somebody_sets_is_kept() -> None:
    own = {"training.step_rule.learning_rate": 0.02, "training.steps_per_round": 7}
    training = template("digits", overrides={**SEEDS, **own}).training
    assert training.step_rule.constants == {"learning_rate": 0.02}
    assert training.steps_per_round == 7


@pytest.mark.slow
def test_seeds_learns_digits_with_them() -> None:
    config = template("digits", overrides=SEEDS).model_dump()
    tables = {name: config[name] for name in ("run", "method", "codec", "training", "schedule")}
    result = sim.run({**tables, "topology": {"name": "complete", "nodes": 2}}, seed=1)
    accuracy = result.metrics["mean_accuracy"]
    assert accuracy is not None
    assert accuracy > 0.7
