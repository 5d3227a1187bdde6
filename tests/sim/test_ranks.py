"""Votes among real models: they learn, cost what rankings cost, and outlast liars."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from torch import Tensor

import sim
from p2pfed.config.learning import assemble
from p2pfed.learn.workbench import Workbench
from p2pfed.updates.registry import METHODS
from sim.adversaries.adversary import Adversary
from sim.building import _build
from sim.identities import identity_of
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


RATES: Final = {
    "ranks": {"learning_rate": 0.4, "momentum": 0.9},
    "ffa-lora": {"learning_rate": 0.3},
    "update-ranks": {"learning_rate": 0.3},
}


def scenario(
    name: str, *, norm_cap_ratio: float | str = 3.0, params: object = None, **constants: object
) -> dict[str, Any]:
    codec = METHODS[name].codec_name
    rate = RATES.get(name, {"learning_rate": 0.1})
    integration = {"rule": "rank-vote" if codec else "mean", "params": params or {}}
    return {
        **EVERYBODY,
        "method": {"name": name, **constants},
        "codec": {"name": codec or "float32"},
        "training": {**EVERYBODY["training"], "step_rule": {"name": "sgd", **rate}},
        "integration": {**integration, "norm_cap_ratio": norm_cap_ratio},
    }


class UpsideDown(Adversary):
    """Publishes its own vector upside down and ten times as large: rankings are then reversed."""

    def __init__(self, initial: Tensor) -> None:
        self._initial = initial

    def difference(self, own: Tensor) -> Tensor:
        return -10.0 * (own + self._initial) - self._initial


def accuracy(method: str, liars: list[int]) -> float:
    """Return the test accuracy of the worst honest peer among such liars."""
    table = scenario(method)
    initial = assemble_first(table).initial
    return worst(table["method"], {liar: UpsideDown(initial) for liar in liars})


def assemble_first(table: dict[str, Any]) -> Workbench:
    loaded = load_scenario(table)
    bench = assemble(loaded.run_config(0, seed=0), identity_of(0, 0)).bench
    assert isinstance(bench, Workbench)
    return bench


def worst(method: dict[str, Any], adversaries: Mapping[int, Adversary]) -> float:
    """Return the test accuracy of the worst honest peer, where no norm is capped."""
    loaded = load_scenario(scenario(**method, norm_cap_ratio="off"))
    world = _build(loaded, 0, adversaries, [], keeps_models=False)
    world.run(until_s=600.0, stop=lambda: all(host.is_done for host in world.hosts))
    scores = []
    for host in world.hosts:
        if host.index not in adversaries:
            assert isinstance(host.bench, Workbench)
            scores.append(host.bench.learner.evaluate("test", should_stop=lambda: False)[0])
    return min(scores)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_vote_learns_as_well_as_a_mean_and_costs_fewer_bytes() -> None:
    methods = [{"name": "ranks"}, {"name": "full"}, {"name": "head", "modules": ["2"]}]
    results = {str(it["name"]): sim.run(scenario(**it)) for it in methods}
    accuracies = {name: it.metrics["mean_accuracy"] for name, it in results.items()}
    assert accuracies["ranks"] > 0.85
    assert accuracies["ranks"] > accuracies["full"] - 0.05
    assert accuracies["ranks"] > accuracies["head"]
    assert len(set(results["ranks"].model_digests)) == 1
    # 13 and 11 bits per weight, and not 32.
    assert 2.3 < results["full"].bytes_sent[0] / results["ranks"].bytes_sent[0] < 2.7


@pytest.mark.slow
@pytest.mark.nightly
def test_liars_with_reversed_rankings_spoil_a_mean_and_no_vote() -> None:
    liars = [0, 3, 6]
    assert accuracy("ranks", liars) > 0.85  # 0.89 where nobody lies
    assert accuracy("full", liars) < 0.65
    assert accuracy("full", []) > 0.85


@pytest.mark.slow
@pytest.mark.nightly
def test_liars_who_turn_their_change_around_spoil_a_mean_of_it_and_no_vote() -> None:
    class TurnedAround(Adversary):
        def difference(self, own: Tensor) -> Tensor:
            return -10.0 * own

    liars = dict.fromkeys([0, 3, 6], TurnedAround())
    low_rank = {"rank": 8, "targets": ["0"], "modules": ["2"]}
    assert worst({"name": "update-ranks", **low_rank}, liars) > 0.75
    assert worst({"name": "ffa-lora", **low_rank}, liars) < 0.3


@pytest.mark.parametrize("params", [{"vote": "trimmed"}, {"vote": "median"}, {"vote": "approval"}])
def test_a_run_file_chooses_the_vote(params: dict[str, str]) -> None:
    bench = assemble_first(scenario("ranks", params=params))
    assert bench.exchange.integrator.params == params
    assert bench.exchange.codec.name == "ballot"
