"""Centered clipping: steps of bounded length from a center that the caller has."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_step_with_a_radius() -> None:
    # From own (1, 1) with radius 5: (4, 5) is 5 away and whole, (1, 21) is 20 away and becomes
    # (0, 5), own is at 0. (3, 4) / 3 and (0, 5) / 3: (2, 4).
    vectors = torch.tensor([[1.0, 1.0], [4.0, 5.0], [1.0, 21.0]])
    rule = robust.create("centered-clipping", byzantine_count=1, radius=5.0)
    result = rule.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(result.vector, torch.tensor([2.0, 4.0]))
    # The clipped row has a quarter of its third, and the rest is own's, beside its own third.
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 12])
    assert result.own_coefficient == pytest.approx(0.25)


def test_radius_is_the_median_distance() -> None:
    # From 0: distances 0, 2, 6, 100, median 4. (0 + 2 + 4 + 4) / 4.
    vectors = torch.tensor([[0.0], [2.0], [-6.0], [100.0]])
    rule = robust.create("centered-clipping", byzantine_count=1)
    assert rule(vectors, own=vectors[0]).tolist() == [(2 - 4 + 4) / 4]


def test_steps_go_on_from_where_the_last_one_ended() -> None:
    # Radius 1, from 0 with rows 0, 3, 9: v = (0 + 1 + 1) / 3 = 2/3. Then (-2/3 + 1 + 1) / 3 = 4/9:
    # v = 10/9. Then (-1 + 1 + 1) / 3: v = 13/9.
    vectors = torch.tensor([[0.0], [3.0], [9.0]], dtype=torch.float64)
    for steps, expected in ((1, 2 / 3), (2, 10 / 9), (3, 13 / 9)):
        rule = robust.create("centered-clipping", byzantine_count=1, radius=1.0, step_count=steps)
        assert rule(vectors, own=vectors[0]).tolist() == pytest.approx([expected])


def test_radius_is_measured_anew_in_each_step() -> None:
    # From 0: distances 0, 0, 0, 4, 8 have the median 0, so nothing moves, ever.
    vectors = torch.tensor([[0.0], [0.0], [0.0], [4.0], [8.0]])
    rule = robust.create("centered-clipping", byzantine_count=2, step_count=3)
    assert rule(vectors, own=vectors[0]).tolist() == [0.0]
    # From 8: distances 8, 8, 8, 4, 0, median 8: v = 8 - 28/5 = 2.4. Then 2.4, 2.4, 2.4, 1.6, 5.6,
    # median 2.4: v = 2.4 + (-7.2 + 1.6 + 2.4) / 5 = 1.76.
    rule = robust.create("centered-clipping", byzantine_count=2, step_count=2)
    assert rule(vectors, own=vectors[4]).tolist() == pytest.approx([1.76])


def test_without_own_it_starts_at_the_median() -> None:
    # Columns 0, 1, 8 and 0, 3, 4: the median (1, 3). Distances of (0, 3), (1, 0), (8, 4) from it:
    # 1, 3, sqrt(50). Radius 1: (-1, 0), (0, -1), (7, 1) / sqrt(50).
    vectors = torch.tensor([[0.0, 3.0], [1.0, 0.0], [8.0, 4.0]], dtype=torch.float64)
    rule = robust.create("centered-clipping", byzantine_count=1, radius=1.0)
    result = rule.aggregate(vectors)
    far = 50.0**-0.5
    expected = [1.0 + (7 * far - 1.0) / 3, 3.0 + (far - 1.0) / 3]
    assert result.vector.tolist() == pytest.approx(expected)
    # A third of 1, of 1/3 and of 1/sqrt(50); what they leave is the median's, of which the first
    # and the second row have half of their coordinates each.
    pulls = [1 / 3, 1 / 9, far / 3]
    rest = (1.0 - sum(pulls)) / 2
    assert result.coefficients.tolist() == pytest.approx(
        [pulls[0] + rest, pulls[1] + rest, pulls[2]]
    )
    assert result.own_coefficient == 0.0
    assert torch.equal(rule(vectors), result.vector)


def test_infinite_radius_is_the_mean_and_radius_zero_is_own() -> None:
    vectors = make_vectors(6, 20)
    mean = robust.create("centered-clipping", byzantine_count=2, radius=math.inf)
    torch.testing.assert_close(mean(vectors, own=vectors[0]), vectors.mean(dim=0))
    fixed = robust.create("centered-clipping", byzantine_count=2, radius=0.0, step_count=4)
    assert torch.equal(fixed(vectors, own=vectors[0]), vectors[0])


def test_no_center_is_remembered() -> None:
    vectors = make_vectors(6, 20)
    rule = robust.create("centered-clipping", byzantine_count=2, radius=0.1, step_count=2)
    first = rule(vectors, own=vectors[0])
    rule(vectors, own=vectors[1])
    assert torch.equal(rule(vectors, own=vectors[0]), first)
    # Handing the result in again is how the center is carried on.
    assert not torch.equal(rule(vectors, own=first), first)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("magnitude", [1e10, 3e38])
def test_liars_far_away_move_it_by_no_more_than_the_radius(steps: int, magnitude: float) -> None:
    vectors = make_vectors(9, 30).float()
    rule = robust.create("centered-clipping", byzantine_count=4, radius=0.5, step_count=steps)
    honest = vectors.clone()
    honest[5:] = vectors[0]
    vectors[5:] = magnitude
    drift = rule(vectors, own=vectors[0]) - rule(honest, own=vectors[0])
    assert float(drift.norm()) <= 4 * 0.5 * 2 * steps / 9


def test_gram_measures_from_own_only() -> None:
    vectors = torch.tensor([[0.0], [3.0], [8.0]])
    gram = torch.diag(torch.tensor([0.0, 1.0, 16.0]))
    for steps in (1, 2):
        rule = robust.create("centered-clipping", byzantine_count=1, radius=1.0, step_count=steps)
        with pytest.raises(robust.InputError, match="own="):
            rule(vectors, gram=gram)
    # Own is 0, the others are 1 and 4 long: (3 + 8 / 4) / 3.
    rule = robust.create("centered-clipping", byzantine_count=1)
    torch.testing.assert_close(rule(vectors, own=vectors[0], gram=gram), torch.tensor([5 / 3]))


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"radius": -1.0}, "radius"),
        ({"radius": math.nan}, "radius"),
        ({"step_count": 0}, "step_count"),
        ({"step_count": True}, "step_count"),
        ({"step_count": 1.5}, "step_count"),
        ({"step_count": 1_001}, "step_count=1001 is not a whole number from 1 to 1,000: to go on"),
        ({"step_count": 10**9}, "step_count"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, float], complaint: str) -> None:
    with pytest.raises(robust.RuleError, match=complaint):
        robust.create("centered-clipping", byzantine_count=1, **params)


def test_a_thousand_steps_are_taken() -> None:
    vectors = torch.tensor([[0.0], [10.0], [10.0]])
    rule = robust.create("centered-clipping", byzantine_count=1, radius=0.01, step_count=1_000)
    # Each step takes two thirds of the radius, as far as own's row does not pull back: a third.
    assert float(rule(vectors, own=vectors[0])) == pytest.approx(10.0 / 3.0, abs=0.02)


def slow(vectors: Tensor, start: Tensor, radius: float | None, steps: int) -> Tensor:
    center = start
    for _ in range(steps):
        drifts = vectors - center
        lengths = drifts.norm(dim=1)
        reach = statistics.median(lengths.tolist()) if radius is None else radius
        clipped = [
            drift * min(1.0, reach / length) if length > 0 else drift
            for drift, length in zip(drifts, lengths.tolist(), strict=True)
        ]
        center = center + torch.stack(clipped).mean(dim=0)
    return center


@settings(max_examples=80)
@given(
    data=st.data(),
    seed=st.integers(0, 2**32),
    radius=st.sampled_from([None, 0.0, 0.3, 2.0]),
    steps=st.integers(1, 4),
)
def test_result_is_that_of_steps_on_the_vectors(
    data: st.DataObject, seed: int, radius: float | None, steps: int
) -> None:
    n = data.draw(st.integers(1, 20))
    vectors = make_vectors(n, data.draw(st.sampled_from([1, 3, 257])), seed)
    start = data.draw(st.sampled_from([None, vectors[0], torch.ones_like(vectors[0])]))
    rule = robust.create("centered-clipping", byzantine_count=0, radius=radius, step_count=steps)
    first = vectors.quantile(0.5, dim=0) if start is None else start
    result = rule.aggregate(vectors, own=start)
    torch.testing.assert_close(result.vector, slow(vectors, first, radius, steps))
    assert float(result.coefficients.sum()) + result.own_coefficient == pytest.approx(1.0)
