"""The covariance that averages of factors lose, and LoRA-FAIR's correction of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from p2pfed.updates.covariance import CovarianceCorrection, residual_gain, ridge_correction
from p2pfed.updates.methods import Lora, LoraFair
from p2pfed.updates.specification import ParameterEntry, ParameterSpecification
from tests.updates.tiny import make_model

SIZES = st.integers(1, 6)
RIDGES = st.sampled_from([1e-6, 1e-2, 1.0, 100.0])


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def draw_shares(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(count, generator=generator, dtype=torch.float64) + 0.1
    return shares / shares.sum()


def average(shares: Tensor, values: Tensor) -> Tensor:
    return torch.tensordot(shares, values, dims=1)


@given(SIZES, SIZES, st.integers(1, 3), SIZES, st.integers(0, 99))
def test_averages_of_factors_lose_exactly_their_covariance(
    n: int, rows: int, rank: int, columns: int, seed: int
) -> None:
    lefts, rights = draw(n, rows, rank, seed=seed), draw(n, rank, columns, seed=seed + 1)
    shares = draw_shares(n, seed)
    left, right = average(shares, lefts), average(shares, rights)
    lost = average(shares, lefts @ rights) - left @ right
    covariance = average(shares, (lefts - left) @ (rights - right))
    torch.testing.assert_close(lost, covariance, atol=1e-12, rtol=1e-9)


def test_two_peers_lose_the_product_of_their_differences() -> None:
    # Exactly g (1 - g) (B1 - B2)(A1 - A2), as the docstring of Lora says.
    (b1, b2), (a1, a2) = draw(2, 5, 2, seed=1), draw(2, 2, 4, seed=2)
    g = 0.3
    products = g * b1 @ a1 + (1 - g) * b2 @ a2
    factors = (g * b1 + (1 - g) * b2) @ (g * a1 + (1 - g) * a2)
    torch.testing.assert_close(products - factors, g * (1 - g) * (b1 - b2) @ (a1 - a2))


def test_nothing_is_lost_where_one_factor_is_common() -> None:
    lefts, right, shares = draw(3, 5, 2), draw(2, 4, seed=1), draw_shares(3)
    torch.testing.assert_close(average(shares, lefts @ right), average(shares, lefts) @ right)


@given(SIZES, SIZES, st.integers(1, 3), SIZES, RIDGES, st.integers(0, 99))
def test_what_is_left_is_never_more_than_plain_averaging_loses(
    n: int, rows: int, rank: int, columns: int, ridge: float, seed: int
) -> None:
    lefts, rights = draw(n, rows, rank, seed=seed), draw(n, rank, columns, seed=seed + 1)
    shares = draw_shares(n, seed)
    left, right = average(shares, lefts), average(shares, rights)
    change = ridge_correction(lefts, rights, shares, left=left, right=right, ridge=ridge)
    wanted = average(shares, lefts @ rights)
    plain = (wanted - left @ right).norm()
    corrected = (wanted - (left + change) @ right).norm()
    assert float(corrected) <= float(plain) * (1.0 + 1e-9) + 1e-9


def test_worked_correction() -> None:
    # B = 2, A = 3, covariance (1)(1) = 1: dB = 1 * 3 / (9 + 1), and 2 * 3 + 0.3 * 3 < 7.
    lefts, rights = torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[[2.0]], [[4.0]]])
    half = torch.tensor([0.5, 0.5])
    change = ridge_correction(
        lefts, rights, half, left=torch.tensor([[2.0]]), right=torch.tensor([[3.0]]), ridge=1.0
    )
    torch.testing.assert_close(change, torch.tensor([[0.3]], dtype=torch.float64))


def test_no_ridge_to_speak_of_leaves_what_no_left_factor_can_reach() -> None:
    lefts, rights, shares = draw(4, 5, 2), draw(4, 2, 6, seed=1), draw_shares(4)
    left, right = average(shares, lefts), average(shares, rights)
    change = ridge_correction(lefts, rights, shares, left=left, right=right, ridge=1e-12)
    rest = average(shares, lefts @ rights) - (left + change) @ right
    assert float((rest @ right.T).norm()) < 1e-8


ENTRIES = ParameterSpecification(
    [
        ParameterEntry(name="head.weight", shape=(3,)),
        ParameterEntry(name="q.lora_A.weight", shape=(2, 4)),
        ParameterEntry(name="q.lora_B.weight", shape=(5, 2)),
    ]
)
CORRECT = CovarianceCorrection(ENTRIES, {"q.lora_B.weight": "q.lora_A.weight"}, 0.01)


def test_only_left_factors_are_corrected() -> None:
    rows, shares = draw(3, 21).float(), draw_shares(3)
    mixed = average(shares.float(), rows)
    before = mixed.clone()
    corrected = CORRECT(rows, shares, mixed)
    assert torch.equal(mixed, before)
    assert torch.equal(corrected[:11], mixed[:11])
    assert not torch.allclose(corrected[11:], mixed[11:])


def distance_to_average(rows: Tensor, shares: Tensor, vector: Tensor) -> float:
    """Return how far a vector's product is from the average of those of the rows."""
    wanted = average(shares, torch.stack([product(row) for row in rows]))
    return float((wanted - product(vector)).norm())


def product(vector: Tensor) -> Tensor:
    parts = ENTRIES.unflatten(vector)
    return (parts["q.lora_B.weight"] @ parts["q.lora_A.weight"]).double()


@pytest.mark.parametrize("trimmed", [0, 1, 2], ids=["mean", "trimmed mean", "median"])
def test_no_rule_ends_further_from_the_average_of_the_products(trimmed: int) -> None:
    corrected_count = 0
    for seed in range(50):
        rows, shares = draw(5, 21, seed=seed).float(), torch.full((5,), 0.2).double()
        mixed = rows.sort(dim=0).values[trimmed : 5 - trimmed].mean(dim=0)
        corrected = CORRECT(rows, shares, mixed)
        plain = distance_to_average(rows, shares, mixed)
        assert distance_to_average(rows, shares, corrected) <= plain * (1.0 + 1e-6)
        corrected_count += not torch.equal(corrected, mixed)
    assert corrected_count >= (25 if trimmed else 50)


def test_worked_gain() -> None:
    # W = 10 of B A = 6: with dB = 1 it is 9, and 16 - 1 are gained; with dB = -1 it is 3.
    lefts, rights = torch.tensor([[[2.0]], [[3.0]]]), torch.tensor([[[1.0]], [[6.0]]])
    half, one = torch.tensor([0.5, 0.5]), torch.ones(1, 1).double()
    left, right = torch.tensor([[2.0]]), torch.tensor([[3.0]])
    for change, gain in ((one, 16.0 - 1.0), (-one, 16.0 - 49.0)):
        found = residual_gain(lefts, rights, half, left=left, right=right, change=change)
        assert found == pytest.approx(gain)


def test_peers_that_agree_are_not_corrected() -> None:
    row = draw(21).float()
    corrected = CORRECT(row.expand(3, 21), draw_shares(3), row)
    assert torch.equal(corrected, row)


def test_a_row_that_the_rule_trimmed_cannot_pull_products() -> None:
    rows = 0.01 * draw(5, 21).float()
    rows[4, 3:] = 1e6  # trimmed in every coordinate, and yet with a share here
    mixed = rows[:4].mean(dim=0)
    corrected = CORRECT(rows, torch.full((5,), 0.2, dtype=torch.float64), mixed)
    distances = (rows[:, 11:] - mixed[11:]).norm(dim=1)
    assert float((corrected - mixed).norm()) <= float(distances.median()) * (1.0 + 1e-5)


def test_numbers_beyond_all_range_leave_the_mixture() -> None:
    rows = torch.full((3, 21), 3e38)
    rows[1] *= -1.0
    rows[2] *= 0.5
    mixed = rows[2].clone()
    corrected = CORRECT(rows, torch.full((3,), 1 / 3, dtype=torch.float64), mixed)
    assert bool(torch.isfinite(corrected).all())


def test_on_the_wire_it_is_lora() -> None:
    fair, lora = (method.adapt(make_model(), seed=3) for method in (LoraFair(rank=2), Lora(rank=2)))
    assert fair.specification == lora.specification
    assert torch.equal(fair.vector(), lora.vector())
