"""Votes among real models: they learn, cost what rankings cost, and outlast liars."""

from typing import Any

import pytest
import torch
from torch import Tensor

import sim
from p2pfed.config.learning import assemble
from p2pfed.learn.workbench import Workbench
from sim.adversaries.adversary import Adversary
from sim.identities import identity_of
from sim.running import _build
from sim.scenario import load_scenario

EVERYBODY: dict[str, Any] = {
    "run": {"task": "digits"},
    "task": {"hidden_size": 128},
    "training": {"steps_per_round": 10, "batch_size": 16, "threads": 1},
    "share": {"name": "dirichlet", "alpha": 1.0},
    "schedule": {"mode": "synchronous", "rounds_max": 15, "evaluate_every_rounds": 15},
    "topology": {"name": "complete", "nodes": 10},
    "network": {"latency_s": 0.02},
    "compute": {"training_s": 0.5},
}


def scenario(method: str, **integration: object) -> dict[str, Any]:
    is_vote = method == "ranks"
    rate = {"learning_rate": 0.4, "momentum": 0.9} if is_vote else {"learning_rate": 0.1}
    return {
        **EVERYBODY,
        "method": {"name": method, **({"modules": ["2"]} if method == "head" else {})},
        "codec": {"name": "ballot" if is_vote else "float32"},
        "training": {**EVERYBODY["training"], "step_rule": {"name": "sgd", **rate}},
        "integration": {"rule": "rank-vote" if is_vote else "mean", **integration},
    }


class UpsideDown(Adversary):
    """Publishes its own vector upside down and ten times as large: rankings are then reversed."""

    def __init__(self, initial: Tensor) -> None:
        self._initial = initial

    def difference(self, own: Tensor) -> Tensor:
        return -10.0 * (own + self._initial) - self._initial


def accuracy(method: str, liars: list[int], **integration: object) -> float:
    """Return the test accuracy of the worst honest peer."""
    loaded = load_scenario(scenario(method, norm_cap_ratio="off", **integration))
    bench = assemble(loaded.run_config(0, seed=0), identity_of(0, 0)).bench
    assert isinstance(bench, Workbench)
    adversaries = {liar: UpsideDown(bench.initial) for liar in liars}
    world = _build(loaded, 0, adversaries, [], keeps_models=False)
    world.run(until_s=600.0, stop=lambda: all(host.is_done for host in world.hosts))
    honest = [host.bench for host in world.hosts if host.index not in liars]
    scores = []
    for each in honest:
        assert isinstance(each, Workbench)
        scores.append(each.learner.evaluate("test", should_stop=lambda: False)[0])
    return min(scores)


@pytest.mark.slow
def test_a_vote_learns_as_well_as_a_mean_and_costs_fewer_bytes() -> None:
    results = {name: sim.run(scenario(name)) for name in ("ranks", "full", "head")}
    accuracies = {name: it.metrics["mean_accuracy"] for name, it in results.items()}
    assert accuracies["ranks"] > 0.85
    assert accuracies["ranks"] > accuracies["full"] - 0.05
    assert accuracies["ranks"] > accuracies["head"]
    assert len(set(results["ranks"].model_digests)) == 1
    # 13 and 11 bits per weight, and not 32.
    assert 2.3 < results["full"].bytes_sent[0] / results["ranks"].bytes_sent[0] < 2.7


@pytest.mark.slow
def test_liars_with_reversed_rankings_spoil_a_mean_and_no_vote() -> None:
    liars = [0, 3, 6]
    assert accuracy("ranks", liars) > 0.85  # 0.89 where nobody lies
    assert accuracy("full", liars) < 0.65
    assert accuracy("full", []) > 0.85


@pytest.mark.parametrize("params", [{"vote": "trimmed"}, {"vote": "median"}, {"vote": "approval"}])
def test_a_run_file_chooses_the_vote(params: dict[str, str]) -> None:
    loaded = load_scenario(scenario("ranks", params=params))
    bench = assemble(loaded.run_config(0, seed=0), identity_of(0, 0)).bench
    assert isinstance(bench, Workbench)
    assert bench.exchange.integrator.params == params
    assert bench.exchange.codec.name == "ballot"
    assert bench.learner.vector().dtype == torch.float32
