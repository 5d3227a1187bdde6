"""The geometric median, to convergence and from anywhere."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust

RULE = robust.create("geometric-median", byzantine_count=1)


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sum_of_distances(vectors: Tensor, center: Tensor) -> float:
    return float((vectors.double() - center.double()).norm(dim=1).sum())


def test_of_an_equilateral_triangle_it_is_the_middle() -> None:
    # (0, 0), (6, 0) and (3, 3 sqrt(3)): a third of each, which is (3, sqrt(3)).
    vectors = torch.tensor([[0.0, 0.0], [6.0, 0.0], [3.0, 27.0**0.5]], dtype=torch.float64)
    result = RULE.aggregate(vectors)
    expected = torch.tensor([3.0, 3.0**0.5], dtype=torch.float64)
    torch.testing.assert_close(result.vector, expected, rtol=1e-12, atol=0.0)
    assert result.coefficients.tolist() == pytest.approx([1 / 3] * 3)


def test_of_a_wide_triangle_it_is_the_corner() -> None:
    # From (0, 0), the unit vectors (0.6, 0.8) and (-0.8, 0.6) sum to a length of 1.41 > 1: it is
    # not the median. (0.8, 0.6) and (-0.8, 0.6) sum to 1.2 > 1: not yet. (0.96, 0.28) and
    # (-0.96, 0.28) sum to 0.56 < 1: it is, to the last bit.
    wide = torch.tensor([[0.0, 0.0], [24.0, 7.0], [-24.0, 7.0]])
    result = RULE.aggregate(wide, own=wide[1])
    assert result.vector.tolist() == [0.0, 0.0]
    assert result.coefficients.tolist() == [1.0, 0.0, 0.0]
    # There, by symmetry, it is (0, y), and 2 (3 - y) / r = 1 for r^2 = 16 + (3 - y)^2, which is
    # (3 - y)^2 = 16 / 3.
    narrow = torch.tensor([[0.0, 0.0], [4.0, 3.0], [-4.0, 3.0]], dtype=torch.float64)
    result = RULE.aggregate(narrow, own=narrow[0])
    expected = [0.0, 3.0 - 4.0 / 3.0**0.5]
    assert result.vector.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_of_four_corners_it_is_where_the_diagonals_cross() -> None:
    # (0, 0) to (9, 9), and (0, 6) to (6, 0): (3, 3), whatever the lengths.
    vectors = torch.tensor([[0.0, 0.0], [9.0, 9.0], [0.0, 6.0], [6.0, 0.0]], dtype=torch.float64)
    for own in (None, *vectors, torch.full((2,), 100.0, dtype=torch.float64)):
        result = RULE(vectors, own=own)
        assert result.tolist() == pytest.approx([3.0, 3.0], rel=1e-12)


def test_on_a_line_it_is_the_median() -> None:
    # Of an even number, any point between the middle two: their mean.
    assert RULE(torch.tensor([[4.0], [0.0], [50.0]])).tolist() == [4.0]
    result = RULE.aggregate(torch.tensor([[4.0], [0.0], [50.0], [1.0]]))
    assert result.vector.tolist() == [2.5]
    assert result.coefficients.tolist() == [0.5, 0.0, 0.0, 0.5]


def test_half_of_the_rows_in_one_place_hold_it_there() -> None:
    vectors = make_vectors(8, 30)
    vectors[4:] = vectors[4]
    result = RULE.aggregate(vectors)
    torch.testing.assert_close(result.vector, vectors[4], rtol=1e-12, atol=0.0)
    assert result.coefficients.tolist() == [0.0] * 4 + [0.25] * 4
    # One of them less is drawn away from the place.
    moved = RULE(vectors[:7])
    assert float((moved - vectors[4]).norm()) > 1e-3


@pytest.mark.parametrize("start", ["none", "row", "far", "median"])
def test_where_it_starts_does_not_matter(start: str) -> None:
    vectors = make_vectors(15, 40)
    expected = slow_median(vectors)
    own = {
        "none": None,
        "row": vectors[3],
        "far": torch.full((40,), 1e3, dtype=torch.float64),
        "median": expected,
    }[start]
    torch.testing.assert_close(RULE(vectors, own=own), expected, rtol=1e-7, atol=1e-9)


def test_rows_far_from_zero_are_no_harder() -> None:
    # From zero, a few of Weiszfeld's steps would not even arrive.
    vectors = make_vectors(15, 40)
    expected = RULE(vectors)
    for offset in (1e4, -1e6):
        for own in (None, vectors[2] + offset):
            result = RULE(vectors + offset, own=own)
            torch.testing.assert_close(result - offset, expected, rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1e6, 1e25])
def test_unit_of_the_rows_does_not_matter(scale: float) -> None:
    # A constant that smooths, as 0.1 or 1e-6, would make it the mean of small rows.
    vectors = make_vectors(9, 20)
    result = RULE((vectors * scale).float())
    torch.testing.assert_close(result.double() / scale, RULE(vectors), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("exponent", [3, 10, 30, 37])
def test_liars_pull_by_direction_only(exponent: int) -> None:
    vectors = make_vectors(20, 30)
    results = []
    for distance in (1e3, 10.0**exponent):
        vectors[16:] = 0.0
        vectors[16:, :2] = distance
        results.append(RULE(vectors.float(), own=vectors[0].float()))
    # At 1e3 the honest rows' own places still turn the direction a little.
    torch.testing.assert_close(results[1], results[0], rtol=0.0, atol=1e-2)
    assert float((results[0] - vectors[:16].mean(dim=0)).norm()) > 0.1


def test_near_a_row_it_converges_too() -> None:
    # The angle at (0, 0) is a little below 120 degrees, so the median is near, and not there:
    # the slow case of Weiszfeld's steps.
    for excess in (1e-1, 1e-2, 1e-3):
        half = math.radians(60.0 - excess)
        arms = [[math.sin(half), math.cos(half)], [-math.sin(half), math.cos(half)]]
        vectors = torch.tensor([[0.0, 0.0], *arms], dtype=torch.float64)
        # By symmetry (0, y), from where both arms are seen at 60 degrees from the axis:
        # y = cos(half) - sin(half) / tan(60 degrees).
        expected = math.cos(half) - math.sin(half) / 3.0**0.5
        for own in (vectors[0], vectors[1], None):
            result = RULE(vectors, own=own)
            assert result.tolist() == pytest.approx([0.0, expected], abs=1e-7)


def test_a_walk_of_many_steps_is_walked_to_its_end() -> None:
    # Four rows within 0.001 to 1 of each other, and three a hundred times as far from them, at one
    # of which the walk begins: it takes 75 steps, and after twelve has 0.4 to go.
    vectors = make_vectors(7, 3, seed=31)
    vectors[4:] *= 0.001
    vectors[:3] = vectors[:3] * 100.0 + 5.0
    result = RULE(vectors, own=vectors[0])
    gradient = torch.nn.functional.normalize(vectors - result, dim=1).sum(dim=0)
    assert float(gradient.norm()) < 1e-6


def test_a_row_at_the_median_of_the_others_is_the_median() -> None:
    vectors = make_vectors(9, 12)
    center = RULE(vectors)
    result = RULE.aggregate(torch.cat([vectors, center[None]]))
    torch.testing.assert_close(result.vector, center, rtol=1e-9, atol=1e-12)
    assert float(result.coefficients[-1]) == 1.0


def test_distances_are_those_of_the_gram_matrix() -> None:
    # As products, the rows are those of the wide triangle, in another order.
    wide = torch.tensor([[24.0, 7.0], [0.0, 0.0], [-24.0, 7.0]])
    vectors = torch.tensor([[1.0], [2.0], [4.0]])
    assert RULE(vectors, gram=wide @ wide.T).tolist() == [2.0]


def slow_median(vectors: Tensor) -> Tensor:
    """Take Weiszfeld's steps on the vectors themselves, many of them."""
    center = vectors.mean(dim=0)
    smallest = 1e-9 * float((vectors - center).norm())
    for _ in range(500):
        pulls = 1.0 / (vectors - center).norm(dim=1).clamp_min(max(smallest, 1e-30))
        center = pulls @ vectors / pulls.sum()
    return center


@settings(max_examples=30)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_no_other_point_is_less_far(data: st.DataObject, seed: int) -> None:
    n = data.draw(st.integers(1, 20))
    d = data.draw(st.sampled_from([1, 2, 3, 17, 257]))
    vectors = make_vectors(n, d, seed)
    if data.draw(st.booleans()):
        vectors = (vectors * 2).round() / 2  # ties
    own = data.draw(st.sampled_from([None, vectors[0], vectors.mean(dim=0)]))
    result = robust.create("geometric-median", byzantine_count=0).aggregate(vectors, own=own)
    found = sum_of_distances(vectors, result.vector)
    others = [slow_median(vectors), *vectors]
    others += [result.vector + 1e-3 * make_vectors(1, d, k)[0] for k in range(5)]
    assert all(found <= sum_of_distances(vectors, other) * (1 + 1e-10) for other in others)
    assert float(result.coefficients.min()) >= 0.0
    assert float(result.coefficients.sum()) == pytest.approx(1.0)


def test_the_mean_is_further() -> None:
    vectors = make_vectors(9, 12)
    vectors[8] += 30.0
    assert sum_of_distances(vectors, vectors.mean(dim=0)) > 1.2 * sum_of_distances(
        vectors, RULE(vectors)
    )
