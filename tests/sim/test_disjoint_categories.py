"""Peers that know different categories: adapters that gossip know them all, one alone its own."""

from typing import Any

import pytest

import sim
from p2pfed.config.learning import assemble
from p2pfed.learn.workbench import Workbench
from sim.identities import identity_of
from sim.scenario import load_scenario
from tests.sim.instructions import CATEGORIES

LORA: dict[str, Any] = {"name": "lora", "rank": 8, "alpha": 16.0}


def scenario(*, rounds: int, nodes: int, rate: float, **tables: Any) -> dict[str, Any]:
    schedule = {"mode": "synchronous", "rounds_max": rounds, "evaluate_every_rounds": rounds}
    return {
        "training": {
            "steps_per_round": 5,
            "batch_size": 32,
            "threads": 1,
            "device": "cpu",
            "step_rule": {"name": "sgd", "learning_rate": rate},
        },
        "integration": {"rule": "mean"},
        "schedule": schedule,
        "topology": {"name": "complete", "nodes": nodes},
        **tables,
    }


def together(made: dict[str, Any]) -> list[float]:
    """Return the test scores of all peers, on rows of all categories."""
    scores = [report.scores[-1].test_score for report in sim.run(made).peers]
    assert None not in scores
    return [score for score in scores if score is not None]


def alone(made: dict[str, Any]) -> list[float]:
    """Return the scores of the same peers after as many steps, had they met nobody."""
    loaded, scores = load_scenario(made), []
    for peer in range(made["topology"]["nodes"]):
        bench = assemble(loaded.run_config(peer, seed=0), identity_of(0, peer)).bench
        assert isinstance(bench, Workbench)
        for round in range(made["schedule"]["rounds_max"]):
            bench.learner.train(round, should_stop=lambda: False)
        scores.append(bench.learner.evaluate("test", should_stop=lambda: False)[0])
    return scores


@pytest.mark.slow
def test_adapters_of_peers_with_other_digits_beat_each_one_alone() -> None:
    made = scenario(
        rounds=10,
        nodes=5,
        rate=0.3,
        run={"task": "digits"},
        method={**LORA, "targets": ["0"], "modules": ["2"]},
        share={"name": "shards", "shards_per_peer": 1},  # two classes each
    )
    assert min(together(made)) > 1.5 * max(alone(made))  # 0.58 and 0.29, two of ten classes


@pytest.mark.nightly
def test_adapters_of_peers_with_other_instructions_beat_each_one_alone() -> None:
    made = scenario(
        rounds=40,
        nodes=len(CATEGORIES),
        rate=0.1,
        run={"task": "tests.sim.instructions:instructions"},
        method={
            **LORA,
            "targets": ["query", "key", "value", "inner", "outer"],
            "modules": ["head"],
        },
        share={"name": "natural"},
    )
    # Exact matches on the instructions of all: who knows one of four gets a fourth of them.
    assert max(alone(made)) < 0.35
    assert min(together(made)) > 0.6  # 0.79
