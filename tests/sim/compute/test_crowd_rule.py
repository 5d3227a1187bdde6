"""Rules for many peers at once say what the integrator of each would say."""

import pytest
import torch
from torch import Tensor

import robust
from sim.compute.crowd_rule import CrowdRule, can_integrate

RULES = ["mean", "median", "trimmed-mean", "nnm+median", "nnm+trimmed-mean"]
PEERS, SIZE = 3, 40


def draw_rows(row_count: int) -> Tensor:
    """Draw rows of which some are near, with coordinates in which none has moved, or two alike."""
    rows = torch.randn(row_count, PEERS, SIZE, generator=torch.Generator().manual_seed(row_count))
    rows += torch.linspace(-1.0, 1.0, SIZE)
    rows[:, :, :7] = 0.0
    rows[1, :, 7:12] = rows[0, :, 7:12]
    rows[:2, 1, 12:20] = 0.0
    return rows


def integrate_alone(rule: str, rows: Tensor, weights: list[float]) -> robust.Integration:
    own, *others = rows
    sent = [
        robust.Row(f"{place:02d}", row, weight)
        for place, (row, weight) in enumerate(zip(others, weights[1:], strict=True))
    ]
    return robust.Integrator(rule).integrate(own, sent)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("row_count", [2, 3, 5, 9])
def test_vectors_and_shares_are_those_of_each_alone(rule: str, row_count: int) -> None:
    rows = draw_rows(row_count)
    weights = rows[:, :, 30].double().abs() + 0.1
    weights /= weights.sum(dim=0)
    crowd = CrowdRule(rule=rule, beta_max=0.3, norm_cap_ratio=3.0)
    vectors, shares = crowd.integrate(rows, weights)
    for peer in range(PEERS):
        found = integrate_alone(rule, rows[:, peer], weights[:, peer].tolist())
        torch.testing.assert_close(vectors[peer], found.vector, rtol=1e-5, atol=1e-6)
        expected = [found.own_weight, *(it.weight for it in found.verdicts)]
        assert shares[:, peer].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_row_that_nothing_is_taken_of_has_no_share() -> None:
    rows = draw_rows(5)
    rows[2] = rows.amax(dim=0) + 0.01
    crowd = CrowdRule(rule="trimmed-mean", beta_max=0.3, norm_cap_ratio=None)
    assert crowd.integrate(rows, torch.full((5, PEERS), 0.2, dtype=torch.float64))[1][2].any() == 0


@pytest.mark.parametrize(
    ("length", "is_ordinary"), [(1.0, True), (2.9, True), (3.1, False), (float("nan"), False)]
)
def test_whoever_has_a_long_row_is_not_ordinary(length: float, is_ordinary: bool) -> None:
    crowd = CrowdRule(rule="mean", beta_max=0.3, norm_cap_ratio=3.0)
    lengths = torch.ones(5, 2)
    lengths[3, 1] = length
    assert crowd.are_ordinary(lengths).tolist() == [True, is_ordinary]


@pytest.mark.parametrize("rule", ["krum", "nnm+krum", "bucketing+median", robust.create("median")])
def test_other_rules_are_left_to_the_integrator(rule: object) -> None:
    assert not can_integrate(rule)
