"""No checker ends a run that is a user's good right, however unusual it is."""

from typing import Any

import pytest
from torch import Tensor

import robust
import sim
from robust import registry
from sim.documents import with_overrides

TINY: dict[str, Any] = {
    "run": {"name": "tiny"},
    "task": {"hidden_size": 4},
    "share": {"name": "bootstrap", "examples": 32},
    "training": {"steps_per_round": 1, "threads": 1},
    "integration": {"rule": "mean"},
    "schedule": {"mode": "synchronous", "rounds_max": 2, "linger_s": 1.0},
    "topology": {"name": "complete", "nodes": 5},
}
# What some rules cannot do without.
NEEDS: dict[str, dict[str, Any]] = {
    "rank-vote": {"method.name": "ranks", "codec.name": "ballot"},
    "clipping+mean": {"integration.params": {"radius": 0.01}},
}
STEPS = tuple(f"{name}+mean" for name in robust.pre_aggregation_names())


@pytest.mark.parametrize("rule", [*robust.names(), *STEPS])
def test_every_rule(rule: str) -> None:
    scenario = with_overrides(TINY, {"integration.rule": rule, **NEEDS.get(rule, {})})
    assert sim.run(scenario).metrics["finished"] == 1.0


def half_of_the_mean(vectors: Tensor) -> tuple[Tensor, Tensor]:
    return vectors.mean(dim=0) / 2.0, vectors.new_full((len(vectors),), 0.5 / len(vectors))


def test_a_rule_of_ones_own_whose_weights_sum_to_a_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})
    robust.register("half-of-the-mean", half_of_the_mean)
    result = sim.run(with_overrides(TINY, {"integration.rule": "half-of-the-mean"}))
    assert result.rows_used["honest"] > 0


def test_the_shortest_heartbeat_of_one_peer_is_no_offence() -> None:
    hasty = {"peers": [0], "fields": {"membership.heartbeat_s": 0.01}}
    slow = {"compute.training_s": 20.0, "topology.nodes": 2}  # longer than a burst may last
    assert sim.run(with_overrides(TINY, {**slow, "variants": [hasty]})).metrics["finished"] == 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"network.upload_bytes_per_s": 100.0},
        {"network.loss_ratio": 0.5},
        {"compute.start_spread_s": 200.0, "topology.nodes": 10},
    ],
    ids=["thin", "lossy", "late"],
)
def test_links_that_stay_down_for_minutes(fields: dict[str, Any]) -> None:
    slow = {"compute.training_s": 20.0, "schedule.mode": "asynchronous", "schedule.rounds_max": 12}
    assert sim.run(with_overrides(TINY, {**slow, **fields})).metrics["finished"] == 1.0
