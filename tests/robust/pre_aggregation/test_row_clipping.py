"""Clipping to a fixed radius, and to the length of the longest row that is surely honest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust

# Each example runs a rule on a few rows; a quarter of the usual number shows as much.
SOME = settings(max_examples=max(1, settings().max_examples // 4))


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def with_lengths(lengths: list[float]) -> Tensor:
    return torch.tensor(lengths)[:, None] * torch.tensor([0.6, 0.8])


def test_rows_longer_than_the_radius_are_shortened_to_it() -> None:
    # Lengths 5, 1 and 10, radius 5: the last is halved. Sums (3 + 0 + 3, 4 + 1 + 4), over 3.
    vectors = torch.tensor([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]])
    result = robust.create("clipping+mean", radius=5.0).aggregate(vectors)
    torch.testing.assert_close(result.vector, torch.tensor([2.0, 3.0]))
    # Shortened or not, each row is one of three; what the last lost is the origin's.
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 6])


def test_the_longest_rows_are_shortened_to_the_next() -> None:
    # f = 1 of 5: k = floor(2 * 1 * 4 / 5) = 1. Of the lengths 5, 1, 10, 2, 3 the 10 becomes 5.
    result = robust.create("arc+mean", byzantine_count=1)
    lengths = [5.0, 1.0, 10.0, 2.0, 3.0]
    expected = with_lengths([5.0, 1.0, 5.0, 2.0, 3.0]).mean(dim=0)
    torch.testing.assert_close(result(with_lengths(lengths)), expected)


@pytest.mark.parametrize(
    ("n", "liars", "clipped"), [(20, 4, 6), (10, 3, 4), (10, 4, 4), (7, 3, 3), (3, 1, 1), (9, 0, 0)]
)
def test_how_many_rows_are_clipped(n: int, liars: int, clipped: int) -> None:
    # 2 * 4 * 16 / 20 = 6.4; 2 * 3 * 7 / 10 = 4.2; 4.8; 24 / 7 = 3.4; 4 / 3; 0.
    lengths = [float(length) for length in range(1, n + 1)]
    factors = robust.create("arc+mean", byzantine_count=liars).aggregate(with_lengths(lengths))
    is_clipped = factors.coefficients < (1 - 1e-6) / n
    assert is_clipped.tolist() == [False] * (n - clipped) + [True] * clipped
    shortened = (factors.coefficients * n * torch.tensor(lengths, dtype=torch.float64)).tolist()
    assert shortened[n - clipped :] == pytest.approx([float(n - clipped)] * clipped)


def test_mixing_weights_survive_clipping() -> None:
    vectors = with_lengths([1.0, 2.0, 8.0])
    result = robust.create("clipping+mean", radius=4.0).aggregate(vectors, weights=[1.0, 1.0, 2.0])
    assert result.coefficients.tolist() == pytest.approx([0.25, 0.25, 0.25])


def test_zero_rows_stay_zero() -> None:
    vectors = torch.zeros(4, 3)
    for name, params in (("clipping+mean", {"radius": 1.0}), ("arc+mean", {"byzantine_count": 1})):
        result = robust.create(name, **params).aggregate(vectors)
        assert result.vector.tolist() == [0.0] * 3
        assert result.coefficients.tolist() == [0.25] * 4


def test_rows_among_zero_rows_are_shortened_to_nothing() -> None:
    # k = 1 of 3 rows: the next longest has length 0.
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert robust.create("arc+mean", byzantine_count=1)(vectors).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("magnitude", [1e-30, 1e20, 3e38])
def test_lengths_whose_squares_leave_the_range_are_measured(magnitude: float) -> None:
    vectors = with_lengths([0.5, 1.0, 0.5]) * magnitude
    result = robust.create("clipping+mean", radius=magnitude / 2).aggregate(vectors)
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 6, 1 / 3])


def test_short_rows_among_long_ones_are_measured() -> None:
    # About the median or own, both of length 1e4, the short one would have no digits.
    vectors = with_lengths([1e4, 1e4, 1e4, 1e4, 1.0])
    for gram in (None, vectors.double() @ vectors.double().T):
        rule = robust.create("clipping+clipping+mean", radius=0.5)
        result = rule.aggregate(vectors, own=vectors[0], gram=gram)
        assert result.coefficients[-1] == pytest.approx(0.5 / 5, rel=1e-5)


def test_lengths_are_those_of_the_gram_matrix() -> None:
    vectors = with_lengths([1.0, 1.0, 1.0])
    gram = torch.diag(torch.tensor([1.0, 4.0, 16.0]))
    result = robust.create("clipping+mean", radius=2.0).aggregate(vectors, gram=gram)
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 6])
    # Lengths need no own vector, so it need not be among the rows.
    robust.create("clipping+mean", radius=2.0)(vectors, own=torch.ones(2), gram=gram)


@SOME
@given(n=st.integers(3, 20), seed=st.integers(0, 2**32), exponent=st.floats(0.0, 30.0))
def test_no_row_is_longer_than_an_honest_one(n: int, seed: int, exponent: float) -> None:
    liars = (n - 1) // 2
    vectors = make_vectors(n, 5, seed).double()
    vectors[n - liars :] *= 10.0**exponent
    result = robust.create("arc+mean", byzantine_count=liars)(vectors)
    longest = float(vectors[: n - liars].norm(dim=1).max())
    assert float(result.norm()) <= longest * (1 + 1e-9)


def test_one_liar_too_many_sets_the_length() -> None:
    vectors = make_vectors(3, 5)
    vectors[1:] *= 1e6
    assert float(robust.create("arc+mean", byzantine_count=1)(vectors).norm()) > 1e5


@SOME
@given(n=st.integers(3, 20), seed=st.integers(0, 2**32), scale=st.floats(1e-6, 1e6))
def test_adaptive_clipping_scales_with_the_unit_and_fixed_with_its_radius(
    n: int, seed: int, scale: float
) -> None:
    vectors = make_vectors(n, 5, seed).double()
    adaptive = robust.create("arc+mean", byzantine_count=1)
    torch.testing.assert_close(adaptive(vectors * scale), adaptive(vectors) * scale)
    fixed = robust.create("clipping+mean", radius=1.0)
    scaled = robust.create("clipping+mean", radius=scale)
    torch.testing.assert_close(scaled(vectors * scale), fixed(vectors) * scale)


def test_clipping_depends_on_the_origin() -> None:
    vectors = make_vectors(9, 5)
    for name, params in (("clipping+mean", {"radius": 1.0}), ("arc+mean", {"byzantine_count": 2})):
        rule = robust.create(name, **params)
        assert float((rule(vectors + 10.0) - rule(vectors) - 10.0).norm()) > 1e-2


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan")])
def test_wrong_radius_is_refused(radius: float) -> None:
    with pytest.raises(robust.RuleError, match="radius"):
        robust.create("clipping+mean", radius=radius)


def test_a_lying_half_is_refused() -> None:
    with pytest.raises(robust.InfeasibleError, match=r"AdaptiveRobustClipping.*needs 5 rows"):
        robust.create("arc+mean", byzantine_count=2)(make_vectors(4, 3))


def test_a_row_that_is_scaled_to_nothing_leaves_a_number() -> None:
    # Of two rows at zero and a long one, f = 1 shortens the long one to zero.
    result = robust.create("arc+mean", byzantine_count=1).aggregate(torch.tensor([[0.0], [0], [5]]))
    assert result.vector.tolist() == [0.0]
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 0.0])
