"""The mean of the tightest subset, found exactly."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust.rules import minimum_diameter


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kept_by(byzantine_count: int, vectors: Tensor, **arguments: object) -> list[int]:
    rule = robust.create("minimum-diameter", byzantine_count=byzantine_count)
    return rule.aggregate(vectors, **arguments).coefficients.nonzero().flatten().tolist()


def test_the_tightest_subset_is_averaged() -> None:
    # f = 2 of 6. Of four rows: 0, 3, 4, 5 have the diameter 5, and 3, 4, 5, 7 have 4.
    vectors = torch.tensor([[0.0], [4.0], [3.0], [20.0], [7.0], [5.0]])
    result = robust.create("minimum-diameter", byzantine_count=2).aggregate(vectors)
    assert result.vector.tolist() == [4.75]
    assert result.coefficients.tolist() == [0.0, 0.25, 0.25, 0.0, 0.25, 0.25]


def test_a_row_that_is_near_to_some_is_left_out_for_those_it_is_far_from() -> None:
    # f = 1 of 4. (0, 0), (2, 0), (0, 2) have the diameter sqrt(8); with (3, 3) in place of any of
    # them it is sqrt(18) or sqrt(10).
    vectors = torch.tensor([[3.0, 3.0], [0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    result = robust.create("minimum-diameter", byzantine_count=1)(vectors)
    torch.testing.assert_close(result, torch.tensor([2 / 3, 2 / 3]))


def test_equal_diameters_go_to_the_lowest_keys() -> None:
    # 0, 1, 2 and 1, 2, 3 are equally tight.
    vectors = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    rule = robust.create("minimum-diameter", byzantine_count=1)
    assert rule(vectors).tolist() == [1.0]
    assert rule(vectors, keys=["d", "c", "b", "a"]).tolist() == [2.0]
    # 0, 1, 3 and 1, 3, 4 and 0, 3, 4 ...: with 0 and 4 both only where 4 is the diameter.
    assert kept_by(1, torch.tensor([[4.0], [0.0], [3.0], [1.0]])) == [0, 2, 3]


def test_without_liars_it_is_the_mean() -> None:
    vectors = make_vectors(5, 10)
    result = robust.create("minimum-diameter", byzantine_count=0)(vectors)
    torch.testing.assert_close(result, vectors.mean(dim=0))


def test_copies_far_away_are_left_out() -> None:
    vectors = make_vectors(9, 20)
    vectors[5:] = 100.0
    assert kept_by(4, vectors) == [0, 1, 2, 3, 4]
    # More than f of them are the tightest subset.
    vectors[4] = 100.0
    assert set(kept_by(4, vectors)) == {4, 5, 6, 7, 8}


def test_distances_are_those_of_the_gram_matrix() -> None:
    stand_ins = torch.tensor([[0.0], [9.0], [1.0]])
    assert kept_by(1, torch.ones(3, 2), gram=stand_ins @ stand_ins.T) == [0, 2]


def test_a_row_is_kept_though_all_others_that_could_be_dropped_are_its_foes() -> None:
    # Row 0 is far from 1, 2 and 3, of which each two are far from one more: only without the three
    # is nothing left that is far from each other, and row 0 has no more foes than may be dropped.
    far = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (2, 5), (3, 5), (3, 6), (1, 6)]
    gram = 0.5 * torch.eye(7) + 0.5
    for first, second in far:
        gram[first, second] = gram[second, first] = 0.4
    assert kept_by(3, torch.ones(7, 2), gram=gram) == [0, 4, 5, 6]


def test_a_planted_subset_among_forty_is_found() -> None:
    # 8e8 subsets of 30; the search looks at few of them.
    vectors = make_vectors(40, 100)
    planted = list(range(0, 40, 4)) + list(range(1, 40, 2))
    vectors[planted] *= 0.5
    assert kept_by(10, vectors) == sorted(planted)


@pytest.mark.parametrize("n", [41, 60])
def test_twenty_liars_are_within_the_bound(n: int) -> None:
    # Among normal rows all distances are nearly equal: the hardest that there is.
    assert len(kept_by(20, make_vectors(n, 50))) == n - 20


def test_a_search_that_takes_too_long_is_infeasible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimum_diameter, "BRANCHES_MAX", 10)
    with pytest.raises(robust.InfeasibleError, match="gave up after 10 branches among 20 rows"):
        kept_by(6, make_vectors(20, 30))


def slow_subset(vectors: Tensor, count: int) -> list[int]:
    """Try all subsets; of equal ones the first in lexicographic order."""
    apart = (vectors[:, None] - vectors[None]).square().sum(dim=2).tolist()
    return list(
        min(
            combinations(range(len(vectors)), count),
            key=lambda rows: max(apart[i][j] for i in rows for j in rows),
        )
    )


@settings(max_examples=80)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_subset_is_the_first_of_the_tightest(data: st.DataObject, seed: int) -> None:
    n = data.draw(st.integers(1, 10))
    f = data.draw(st.integers(0, (n - 1) // 2))
    vectors = make_vectors(n, data.draw(st.sampled_from([1, 2, 5])), seed)
    if data.draw(st.booleans()):
        vectors = vectors.round()  # ties
    keys = data.draw(st.permutations(range(n)))
    order = sorted(range(n), key=keys.__getitem__)
    expected = sorted(order[place] for place in slow_subset(vectors[order], n - f))
    assert kept_by(f, vectors, keys=keys) == expected
