"""BRIDGE: four screenings, what each needs, and the own row that is never dropped."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust.rules.bulyan import pick_by_krum

# Each example runs a rule on a few rows; a quarter of the usual number shows as much.
SOME = settings(max_examples=max(1, settings().max_examples // 4))

SCREENINGS = ["trimmed-mean", "median", "krum", "bulyan"]


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def make(screening: str, byzantine_count: int = 1) -> robust.Rule:
    return robust.create("bridge", byzantine_count=byzantine_count, screening=screening)


def test_trimmed_mean_drops_neighbors_only() -> None:
    # b = 1. Own 0, neighbors -5 | 1, 3 | 50: (0 + 1 + 3) / 3.
    vectors = torch.tensor([[0.0], [1.0], [50.0], [3.0], [-5.0]])
    result = make("trimmed-mean").aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == pytest.approx([4 / 3])
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 0.0, 1 / 3, 0.0])
    assert result.own_coefficient == 0.0
    # An own value beyond all others stays: (100 + 2) / 2, where trimming all four leaves 2.5.
    vectors = torch.tensor([[1.0], [2.0], [3.0], [100.0]])
    assert make("trimmed-mean")(vectors, own=vectors[3]).tolist() == [51.0]
    assert robust.create("trimmed-mean", byzantine_count=1)(vectors).tolist() == [2.5]


def test_median_of_neighbors_and_own() -> None:
    # -5, 0, 1, 3 with own 0.
    vectors = torch.tensor([[0.0], [1.0], [3.0], [-5.0]])
    assert make("median")(vectors, own=vectors[0]).tolist() == [0.5]


def test_krum_of_neighbors_and_own() -> None:
    # b = 1 of 6: three nearest. 0: 1 + 4 + 16 = 21; 1: 1 + 1 + 9; 2: 1 + 4 + 4 = 9; 4: 4 + 9 + 16.
    vectors = torch.tensor([[0.0], [1.0], [2.0], [4.0], [10.0], [50.0]])
    result = make("krum").aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == [2.0]
    assert result.coefficients.tolist() == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_bulyan_of_neighbors_and_own() -> None:
    # b = 1 of 8: 0, 1, 2, 3, 4, 5, 60 and 100. Krum picks six, of ties the first: 2 (19, as 3),
    # 3 (18), 1 (26, as 4), 4 (17), 0 (25, as 5), and of 5, 60 and 100, each with one neighbor at
    # 3025, 1600 and 1600, a liar: 60. Of 0, 1, 2, 3, 4, 60 the four nearest to the median 2.5 are
    # 1, 2, 3, 4.
    vectors = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [60.0], [100.0]])
    distances = (vectors - vectors.T).square().double()
    assert pick_by_krum(distances, range(8), 1) == [2, 3, 1, 4, 0, 6]
    result = make("bulyan").aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == [2.5]
    expected = [0.0, 0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0]
    assert result.coefficients.tolist() == expected
    # By the keys, the later of two with equal scores: 3, 2, 4, 1, 5, 60; median 3.5; 2, 3, 4, 5.
    keys = [7, 6, 5, 4, 3, 2, 1, 0]
    assert make("bulyan")(vectors, own=vectors[0], keys=keys).tolist() == [3.5]


def test_of_values_at_one_distance_from_the_median_bulyan_keeps_the_smaller() -> None:
    # b = 1; Krum picks the six near rows. Of 0, 2, 5, 5, 6, 8, median 5, the four nearest are 5, 5,
    # 6 and one of 2 and 8.
    vectors = torch.tensor([[0.0], [2.0], [5.0], [5.0], [6.0], [8.0], [1e6], [-1e6]])
    result = make("bulyan").aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == [4.5]
    assert result.coefficients.tolist() == [0.0, 0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0]
    assert make("bulyan")(-vectors, own=-vectors[0]).tolist() == [-6.0]


@pytest.mark.parametrize(
    ("screening", "liars", "rows"),
    [
        ("trimmed-mean", 1, 4),
        ("trimmed-mean", 3, 8),
        ("median", 1, 4),
        ("median", 2, 6),
        ("krum", 1, 6),
        ("krum", 2, 8),
        ("bulyan", 1, 8),
        ("bulyan", 2, 12),
        ("bulyan", 0, 4),
    ],
)
def test_fewest_neighbors_and_own(screening: str, liars: int, rows: int) -> None:
    # 2 b + 1, 2 b + 1, 2 b + 3 and 4 b + 3 neighbors.
    vectors, rule = make_vectors(rows, 3), make(screening, liars)
    assert rule.rows_min == rows
    assert rule(vectors, own=vectors[1]).isfinite().all()
    with pytest.raises(robust.InfeasibleError, match=f"needs {rows} rows, got {rows - 1}"):
        rule(vectors[1:], own=vectors[1])


def reference(screening: str, vectors: Tensor, own: int, liars: int) -> Tensor:
    neighbors = torch.cat([vectors[:own], vectors[own + 1 :]])
    match screening:
        case "trimmed-mean":
            middle = neighbors.sort(dim=0).values[liars : len(neighbors) - liars]
            return torch.cat([vectors[own : own + 1], middle]).mean(dim=0)
        case "median":
            return vectors.quantile(0.5, dim=0)
        case "krum":
            return vectors[best_by_krum(vectors, len(vectors) - liars - 2)]
    left, picked = vectors, []
    while len(picked) < len(vectors) - 2 * liars:
        best = best_by_krum(left, max(1, len(left) - liars - 2))
        picked.append(left[best])
        left = torch.cat([left[:best], left[best + 1 :]])
    rows = torch.stack(picked)
    order = (rows - rows.quantile(0.5, dim=0)).abs().argsort(dim=0)
    return rows.gather(0, order[: len(rows) - 2 * liars]).mean(dim=0)


@pytest.mark.parametrize(("n", "liars"), [(12, 2), (16, 3), (17, 3), (24, 5), (40, 9)])
def test_bulyan_that_drops_more_values_than_it_keeps_is_its_formula(n: int, liars: int) -> None:
    vectors = make_vectors(n, 300, n).double()
    result = make("bulyan", liars).aggregate(vectors, own=vectors[1])
    torch.testing.assert_close(result.vector, reference("bulyan", vectors, 1, liars))
    # And column by column, what the shares say: their mean of the kept values is the result.
    for column in range(3):
        single = make("bulyan", liars).aggregate(vectors[:, [column]], own=vectors[1, [column]])
        explained = single.coefficients @ vectors[:, [column]]
        torch.testing.assert_close(explained, single.vector, rtol=0.0, atol=1e-6)


def best_by_krum(vectors: Tensor, count: int) -> int:
    distances = [sorted((vectors - row).square().sum(dim=1).tolist()) for row in vectors]
    scores = [sum(row[1 : 1 + count]) for row in distances]
    return scores.index(min(scores))


@pytest.mark.parametrize("screening", SCREENINGS)
@SOME
@given(
    n=st.integers(4, 17),
    d=st.sampled_from([1, 3, 17]),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_rule_is_its_formula(
    screening: str, n: int, d: int, seed: int, data: st.DataObject
) -> None:
    most = max(liars for liars in range(-1, n) if liars < 0 or make(screening, liars).rows_min <= n)
    assume(most >= 0)
    liars = data.draw(st.integers(0, most))
    vectors = make_vectors(n, d, seed).double()
    expected = reference(screening, vectors, 1, liars)
    result = make(screening, liars).aggregate(vectors, own=vectors[1])
    torch.testing.assert_close(result.vector, expected)
    assert float(result.coefficients.sum()) == pytest.approx(1.0)
    if d == 1:
        torch.testing.assert_close(result.coefficients @ vectors, expected)


@pytest.mark.parametrize("screening", SCREENINGS)
@SOME
@given(seed=st.integers(0, 2**32), exponent=st.floats(1.0, 30.0))
def test_far_liars_do_not_drag_it_out_of_the_honest_range(
    screening: str, seed: int, exponent: float
) -> None:
    vectors = make_vectors(12, 3, seed).double()
    vectors[10:] = 10.0**exponent * vectors[-1]
    result = make(screening, 2)(vectors, own=vectors[0])
    low, high = vectors[:10].aminmax(dim=0)
    assert bool(((result >= low - 1e-9) & (result <= high + 1e-9)).all())


@pytest.mark.parametrize("screening", ["trimmed-mean", "median", "bulyan"])
def test_more_liars_than_it_bears_drag_it_away(screening: str) -> None:
    vectors = make_vectors(12, 3)
    vectors[5:] = 1e6
    assert float(make(screening, 2)(vectors, own=vectors[0]).abs().max()) > 1e4


def test_own_has_to_be_among_the_rows() -> None:
    vectors = make_vectors(12, 3)
    for screening in SCREENINGS:
        with pytest.raises(robust.InputError, match="own="):
            make(screening)(vectors)
        with pytest.raises(robust.InputError, match="own is not among the rows"):
            make(screening)(vectors, own=torch.ones(3))


def test_behind_a_pre_aggregation_own_is_one_more() -> None:
    # f = 1 of 5, on a line: 0, 1, 2, 3, 100, mixed by four: 1.5 four times, and 26.5. Own 0 and the
    # three in the middle, of 1.5: 4.5 / 4.
    vectors = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])
    rule = robust.create("nnm+bridge", byzantine_count=1)
    result = rule.aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == pytest.approx([1.125])
    assert result.own_coefficient == pytest.approx(0.25)
    assert float(result.coefficients.sum()) == pytest.approx(0.75)


def test_a_copy_of_own_is_a_neighbor() -> None:
    # Neighbors 0, 3, 6, 9 and 30, of which 3, 6 and 9 stay: (0 + 3 + 6 + 9) / 4.
    vectors = torch.tensor([[0.0], [0.0], [3.0], [6.0], [9.0], [30.0]])
    assert make("trimmed-mean", 1)(vectors, own=vectors[0]).tolist() == pytest.approx([4.5])


def test_copies_of_own_count_as_it_does() -> None:
    # Own 1 and a copy; neighbors 1 and 3 and 0 and 9, b = 1: (1 + 1 + 3) / 3.
    vectors = torch.tensor([[1.0], [3.0], [1.0], [0.0], [9.0]])
    result = make("trimmed-mean").aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == pytest.approx([5 / 3])
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0, 0.0])
    # The copy is dropped as the smallest of 1, 3, 5 and 9, and shares what own has: nobody can tell
    # which of the two is which.
    vectors = torch.tensor([[1.0], [3.0], [1.0], [5.0], [9.0]])
    result = make("trimmed-mean").aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == pytest.approx([3.0])
    assert result.coefficients.tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 6, 1 / 3, 0.0])


def test_distances_are_those_of_the_gram_matrix() -> None:
    vectors = torch.arange(6.0)[:, None]
    meant = torch.tensor([[0.0], [1.0], [2.0], [4.0], [10.0], [50.0]])[[5, 4, 3, 2, 1, 0]]
    result = make("krum")(vectors, own=vectors[0], gram=meant @ meant.T)
    assert result.tolist() == [3.0]


@pytest.mark.parametrize("screening", SCREENINGS)
def test_nothing_is_changed_and_order_does_not_matter(screening: str) -> None:
    vectors = make_vectors(12, 257)
    vectors[:, :50] = vectors[:, :50].round()
    before = vectors.clone()
    keys = [f"peer {row:02}" for row in range(12)]
    order = [3, 11, 0, 7, 5, 1, 9, 2, 10, 4, 8, 6]
    rule = make(screening, 2)
    first = rule.aggregate(vectors, own=vectors[0], keys=keys)
    second = rule.aggregate(vectors[order], own=vectors[0], keys=[keys[row] for row in order])
    assert torch.equal(first.vector, second.vector)
    assert torch.equal(first.vector, rule(vectors, own=vectors[0], keys=keys))
    torch.testing.assert_close(first.coefficients[order], second.coefficients)
    assert torch.equal(vectors, before)


def test_unknown_screening_lists_the_known() -> None:
    with pytest.raises(robust.RuleError, match=r"'mean'; known: trimmed-mean, median, krum"):
        make("mean")
