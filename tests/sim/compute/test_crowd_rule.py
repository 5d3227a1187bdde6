"""Rules for many peers at once say what the integrator of each would say."""

import pytest
import torch
from torch import Tensor

import robust
from sim.compute.crowd_rule import CrowdRule, can_integrate, measure_lengths

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


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("lengths", "used"),
    [
        ([1.0, 1.0, 1.0, 1.0], [True, True, True, True]),
        ([1.0, 1.0, 3.1, NAN], [True, True, False, False]),
        ([9.0, 1.0, 1.0, 2.9], [True, True, True, True]),  # the own row stays
        ([1.0, 1.0, INF, NAN], [True, True, False, False]),
        ([1.0, 4.0, NAN, NAN], [True, True, False, False]),  # of two rows neither is too long
        ([0.0, 0.0, 0.0, 0.0], [True, True, True, True]),
        ([1.0, 1.0, 1.0, 3.0001], None),  # as near as rounding
        ([0.0, 0.0, 0.0, 1.0], None),
        ([1e18, 1e18, 1e18, 1e18], None),
        ([NAN, 1.0, 1.0, 1.0], None),
        ([1.0, NAN, NAN, NAN], None),
    ],
)
def test_sifted_rows_are_those_that_the_integrator_uses(
    lengths: list[float], used: list[bool] | None
) -> None:
    crowd = CrowdRule(rule="mean", beta_max=0.3, norm_cap_ratio=3.0)
    is_used, is_sure = crowd.sift(torch.tensor(lengths)[:, None])
    assert bool(is_sure) == (used is not None)
    assert used is None or is_used[:, 0].tolist() == used


def test_without_a_cap_only_what_is_not_finite_is_sifted_out() -> None:
    crowd = CrowdRule(rule="mean", beta_max=0.3, norm_cap_ratio=None)
    lengths = torch.tensor([[1.0, 1.0], [9.0, 1.0], [NAN, INF]])
    is_used, is_sure = crowd.sift(lengths)
    assert is_used[:, 0].tolist() == [True, True, False]
    assert is_sure.tolist() == [True, False]


def test_lengths_tell_what_is_long_from_what_is_none() -> None:
    rows = torch.ones(2, 3, 4)
    rows[0, 1, 2], rows[1, 0, 0], rows[1, 2, 3] = 1e30, NAN, INF
    lengths = measure_lengths(rows)
    expected = torch.tensor([[2.0, INF, 2.0], [NAN, 2.0, NAN]])
    torch.testing.assert_close(lengths, expected, equal_nan=True)


@pytest.mark.parametrize("rule", ["trimmed-mean", "nnm+trimmed-mean"])
def test_rejected_rows_count_for_f(rule: str) -> None:
    rows, rejected = draw_rows(5), 4  # f is 2 of 9 rows, and 1 of 5
    crowd = CrowdRule(rule=rule, beta_max=0.3, norm_cap_ratio=3.0)
    weights = torch.full((5, PEERS), 0.1, dtype=torch.float64)
    vectors, _ = crowd.integrate(rows, weights, rejected_count=rejected)
    for peer in range(PEERS):
        sent = [robust.Row(f"{it:02d}", rows[it, peer]) for it in range(1, 5)]
        sent += [robust.Row(f"{it:02d}", rows[0, peer] * NAN) for it in range(5, 5 + rejected)]
        found = robust.Integrator(rule).integrate(rows[0, peer], sent)
        torch.testing.assert_close(vectors[peer], found.vector, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["krum", "nnm+krum", "bucketing+median", robust.create("median")])
def test_other_rules_are_left_to_the_integrator(rule: object) -> None:
    assert not can_integrate(rule)
