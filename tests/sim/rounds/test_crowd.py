"""Peers that integrate at once get what the integrator of each would give them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import robust
from sim.compute.crowd_rule import CrowdRule
from sim.rounds import RoundsConfig, RoundsResult
from sim.rounds import running as rounds
from sim.rounds.crowd import Crowd, find_crowds
from sim.rounds.pipeline import Post, make_pipeline

MakeConfig = Callable[..., RoundsConfig]
PEERS, NEIGHBORS = 6, 4


def one_by_one(post: Post) -> Any:
    return make_pipeline(post)  # another function: nothing is known of its pipelines


def told(result: RoundsResult) -> dict[str, Any]:
    """Return what may not differ at all, without what is measured in another type."""
    measured = ("honest_spread", "result_error")
    return {key: value for key, value in result.to_dict().items() if key not in measured}


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["median", "trimmed-mean"])
@pytest.mark.parametrize(("topology", "liars"), [("complete", 0), ("line", 1)])
def test_rules_by_coordinate_give_the_same_bits(
    make_config: MakeConfig, rule: str, topology: str, liars: int
) -> None:
    config = make_config(rule=rule, topology=topology, liars=liars, attack="sign-flip", rounds=4)
    expected, result = rounds.run(config, pipeline=one_by_one), rounds.run(config)
    assert told(result) == told(expected)
    assert result.honest_spread == pytest.approx(expected.honest_spread, rel=1e-5)
    assert result.result_error == pytest.approx(expected.result_error, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["complete", "line"])
def test_the_mean_differs_by_rounding(make_config: MakeConfig, topology: str) -> None:
    config = make_config(rule="mean", topology=topology, rounds=4)
    expected, result = rounds.run(config, pipeline=one_by_one), rounds.run(config)
    assert result.accuracies == pytest.approx(expected.accuracies, abs=0.01)
    assert result.honest_reasons == expected.honest_reasons
    assert result.consensus_distance == pytest.approx(expected.consensus_distance, rel=1e-3)


def make_crowd(rule: str = "trimmed-mean") -> tuple[Crowd, robust.Integrator]:
    integrator = robust.Integrator(rule)
    others = [[it for it in range(PEERS) if it not in (peer, 5)] for peer in range(PEERS - 1)]
    weights = [1.0 / (NEIGHBORS + 1)] * NEIGHBORS
    crowd_rule = CrowdRule(rule=rule, beta_max=0.3, norm_cap_ratio=3.0)
    crowd = Crowd(range(PEERS - 1), others, weights, rule=crowd_rule)
    return crowd, integrator


def draw_rows() -> Tensor:
    return torch.randn(PEERS, 100, generator=torch.Generator().manual_seed(3))


def integrated(crowd: Crowd, rows: Tensor) -> dict[int, Tensor]:
    lengths = torch.linalg.vector_norm(rows, dim=1)
    return {
        int(peer): vector
        for block in crowd.integrate(rows, lengths)
        for peer, vector in zip(block.peers, block.vectors, strict=True)
    }


def integrate_alone(integrator: robust.Integrator, rows: Tensor, peer: int) -> Tensor:
    sent = [
        robust.Row(bytes([1, number]), rows[number], 0.2)
        for number in range(PEERS - 1)
        if number != peer
    ]
    return integrator.integrate(rows[peer], sent).vector


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed-mean"])
def test_each_vector_is_the_integrators(rule: str) -> None:
    crowd, integrator = make_crowd(rule)
    rows = draw_rows()
    found = integrated(crowd, rows)
    assert sorted(found) == list(range(PEERS - 1))
    for peer, vector in found.items():
        expected = integrate_alone(integrator, rows, peer)
        if rule == "mean":
            torch.testing.assert_close(vector, expected, rtol=1e-6, atol=1e-6)
        else:
            assert torch.equal(vector, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_whoever_hears_a_row_that_is_no_vector_is_left_to_the_integrator(value: float) -> None:
    rows = draw_rows()
    rows[1, 50] = value
    assert integrated(make_crowd()[0], rows) == {}


def test_whoever_hears_a_long_row_is_left_to_the_integrator() -> None:
    rows = draw_rows()
    rows[1] *= 10.0
    assert integrated(make_crowd()[0], rows) == {}


def test_whoever_might_take_nothing_of_a_row_is_left_to_the_integrator() -> None:
    rows = draw_rows()
    rows[1] = rows.amax(dim=0) + 0.01  # the largest everywhere, and not too long
    assert integrated(make_crowd()[0], rows) == {}


def test_rows_of_zeros_set_no_scale() -> None:
    assert sorted(integrated(make_crowd()[0], torch.zeros(PEERS, 100))) == list(range(PEERS - 1))


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "krum"},
        {"compute": "sequential"},
        {"integrator": {"gamma": 0.5}},
        {"reputation": robust.ReputationPolicy()},
        {"loss_gate": robust.LossGatePolicy()},
    ],
    ids=lambda it: next(iter(it)),
)
def test_what_needs_more_than_rows_is_no_crowd(
    make_config: MakeConfig, fields: dict[str, Any]
) -> None:
    config = make_config(rule="mean")
    places = rounds.Session(config, make_pipeline).meetings.next().places
    assert find_crowds(config, places)
    assert not find_crowds(replace(config, **fields), places)
