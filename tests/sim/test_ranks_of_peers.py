"""Machines of different strength: nested ranks of `fed-sb` in one run."""

from typing import Any, Final

import pytest

import sim
from p2pfed.config.learning import assemble
from p2pfed.errors import ConfigError
from p2pfed.learn.workbench import Workbench
from sim.identities import identity_of
from sim.scenario import load_scenario

RANKS: Final = (2, 4, 8, 16)
ROUNDS: Final = 20


def scenario(**changes: Any) -> dict[str, Any]:
    return {
        "run": {"task": "digits"},
        "task": {"hidden_size": 64},
        "method": {"name": "fed-sb", "rank": 16, "targets": ["0"], "modules": ["2"]},
        "training": {
            "steps_per_round": 5,
            "threads": 1,
            "step_rule": {"name": "sgd", "learning_rate": 3.0},
        },
        "share": {"name": "dirichlet", "alpha": 1.0},
        "integration": {"rule": "mean"},
        "schedule": {
            "mode": "synchronous",
            "rounds_max": ROUNDS,
            "evaluate_every_rounds": ROUNDS,
        },
        "topology": {"name": "ring", "nodes": len(RANKS)},
        "variants": [
            {"peers": [peer], "fields": {"method.rank_used": rank}}
            for peer, rank in enumerate(RANKS)
        ],
        **changes,
    }


def alone(peer: int) -> float:
    """Return the test accuracy of a peer that nobody talks to."""
    bench = assemble(load_scenario(scenario()).run_config(peer, seed=0), identity_of(0, peer)).bench
    assert isinstance(bench, Workbench)
    for round in range(ROUNDS):
        bench.learner.train(round, should_stop=lambda: False)
    return bench.learner.evaluate("test", should_stop=lambda: False)[0]


def test_each_machine_has_its_rank_and_all_are_of_one_run() -> None:
    loaded = load_scenario(scenario())
    configs = [loaded.run_config(peer, seed=0) for peer in range(len(RANKS))]
    assert [config.method.constants["rank_used"] for config in configs] == list(RANKS)
    made = [assemble(config, identity_of(0, peer)) for peer, config in enumerate(configs)]
    assert len({it.agreement.run_id for it in made}) == 1


@pytest.mark.slow
def test_ranks_2_4_8_and_16_learn_together() -> None:
    result = sim.run(scenario())
    scores = [report.scores[-1].test_score for report in result.peers]
    assert all(score is not None and score > 0.7 for score in scores)
    for peer, score in enumerate(scores):
        assert score is not None
        assert score > alone(peer)
    assert len({sent // 1000 for sent in result.bytes_sent}) == 1  # ranks change no bytes


@pytest.mark.parametrize("field", ["share.index", "node.role"])
def test_what_is_simulated_differs_nowhere(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(scenario(variants=[{"peers": [1], "fields": {field: 0}}]))
    assert caught.value.field == f"variants.0.fields.{field}"
