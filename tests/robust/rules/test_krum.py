"""Krum and Multi-Krum: scores, their ties, and what copies gain by them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust

# On a line, with f = 1 of 5: the score is the sum of the 2 smallest squared distances.
#   0.0: 1 + 6.25 = 7.25
#   1.0: 1 + 2.25 = 3.25
#   2.5: 2.25 + 2.25 = 4.5
#   4.0: 2.25 + 9 = 11.25
# 100.0: 96^2 + 97.5^2
LINE = torch.tensor([[0.0], [1.0], [2.5], [4.0], [100.0]])


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_krum_takes_the_lowest_score() -> None:
    result = robust.create("krum", byzantine_count=1).aggregate(LINE)
    assert result.vector.tolist() == [1.0]
    assert result.coefficients.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_byzfls_count_of_neighbors_takes_another() -> None:
    # One more neighbor: 1.0 has 3.25 + 9 = 12.25, and 2.5 has 4.5 + 6.25 = 10.75.
    result = robust.create("krum", byzantine_count=1, neighbors="byzfl")(LINE)
    assert result.tolist() == [2.5]


def test_multi_krum_averages_all_but_f() -> None:
    # 0, 1, 2.5 and 4 have the lowest scores: 7.5 / 4.
    result = robust.create("multi-krum", byzantine_count=1).aggregate(LINE)
    assert result.vector.tolist() == [1.875]
    assert result.coefficients.tolist() == [0.25, 0.25, 0.25, 0.25, 0.0]


def test_multi_krum_averages_as_many_as_wanted() -> None:
    result = robust.create("multi-krum", byzantine_count=1, kept_count=2)(LINE)
    assert result.tolist() == [1.75]  # of 1 and 2.5


def test_multi_krum_of_all_rows_is_the_mean() -> None:
    vectors = make_vectors(6, 10)
    result = robust.create("multi-krum", byzantine_count=0)(vectors)
    torch.testing.assert_close(result, vectors.mean(dim=0))


def test_distances_are_those_of_the_gram_matrix() -> None:
    # As products, the rows are 100, 4, 2.5, 1 and 0 on the line: the score of 1 is the fourth's.
    stand_ins = LINE.flip(0)
    result = robust.create("krum", byzantine_count=1)(LINE, gram=stand_ins @ stand_ins.T)
    assert result.tolist() == [4.0]


def test_equal_scores_go_to_the_lowest_key() -> None:
    # 1 and 3 both have 1 + 4.
    vectors = torch.tensor([[0.0], [1.0], [3.0], [4.0], [100.0]])
    rule = robust.create("krum", byzantine_count=1)
    assert rule(vectors).tolist() == [1.0]
    assert rule(vectors, keys=["e", "d", "b", "a", "c"]).tolist() == [3.0]
    # In Multi-Krum, 0 and 4 are equal too, and one of them is to be left out.
    rule = robust.create("multi-krum", byzantine_count=1, kept_count=3)
    keys = ["e", "d", "b", "a", "c"]
    assert rule.aggregate(vectors, keys=keys).coefficients.tolist() == pytest.approx(
        [0.0, 1 / 3, 1 / 3, 1 / 3, 0.0]
    )


def test_of_exact_copies_the_lowest_key_is_credited() -> None:
    vectors = make_vectors(9, 300)
    vectors[[2, 5, 8]] = vectors[:6].mean(dim=0)
    rule = robust.create("krum", byzantine_count=2)
    shares = rule.aggregate(vectors, own=vectors[0], keys=list("ihgfedcba")).coefficients
    assert shares.nonzero().flatten().tolist() == [8]


@pytest.mark.parametrize("copies", [2, 3])
def test_few_copies_far_away_do_not_win(copies: int) -> None:
    # n = 9 and f = 3 count 4 neighbors: up to f copies have others among them.
    vectors = make_vectors(9, 20)
    vectors[9 - copies :] = 50.0
    result = robust.create("krum", byzantine_count=3)(vectors)
    assert float(result.abs().max()) < 10.0


def test_more_copies_than_neighbors_win() -> None:
    vectors = make_vectors(9, 20)
    vectors[4:] = 50.0
    assert robust.create("krum", byzantine_count=3)(vectors).tolist() == [50.0] * 20


def test_result_is_the_row_to_the_last_bit() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        vectors = make_vectors(7, 100).to(dtype)
        result = robust.create("krum", byzantine_count=2)(vectors, own=vectors[3])
        assert any(torch.equal(result, vector) for vector in vectors)


def test_many_rows_far_from_zero_are_still_told_apart() -> None:
    # Products about zero, as torch.cdist takes them of more than 25 rows, have no digits here.
    vectors = 1e3 + 1e-2 * make_vectors(30, 1_000)
    expected = slow_scores(vectors, neighbor_count=30 - 4 - 2).argmin()
    for own in (None, vectors[7], torch.zeros(1_000)):
        result = robust.create("krum", byzantine_count=4)(vectors, own=own)
        assert torch.equal(result, vectors[expected])
    raw = vectors @ vectors.T
    wrong = robust.create("krum", byzantine_count=4)(vectors, gram=raw)
    assert not torch.equal(wrong, vectors[expected])


def test_a_wild_row_is_refused_though_it_would_not_be_taken() -> None:
    vectors = make_vectors(7, 10)
    for value in (float("nan"), float("inf")):
        vectors[6, 3] = value
        for gram in (None, torch.eye(7)):
            with pytest.raises(robust.InputError, match="NaN or infinity"):
                robust.create("krum", byzantine_count=2)(vectors, own=vectors[0], gram=gram)


def test_fewer_rows_than_the_bound_needs_are_infeasible() -> None:
    for name in ("krum", "multi-krum"):
        said = "needs 7 rows, got 6: give it more, expect fewer liars, or take a rule"
        with pytest.raises(robust.InfeasibleError, match=said):
            robust.create(name, byzantine_count=2)(make_vectors(6, 3))
    with pytest.raises(robust.InfeasibleError, match="needs 9 rows"):
        robust.create("multi-krum", byzantine_count=1, kept_count=9)(make_vectors(8, 3))


def test_wrong_parameters_are_refused() -> None:
    with pytest.raises(robust.RuleError, match=r"neighbors 'all'; known: blanchard, byzfl"):
        robust.create("krum", byzantine_count=1, neighbors="all")
    for value in (0, -1, True, 2.0):
        with pytest.raises(robust.RuleError, match="kept_count"):
            robust.create("multi-krum", byzantine_count=1, kept_count=value)


def slow_scores(vectors: Tensor, *, neighbor_count: int) -> Tensor:
    wide = vectors.double()
    scores = []
    for row in range(len(wide)):
        squares = [
            float((wide[row] - wide[k]).square().sum()) for k in range(len(wide)) if k != row
        ]
        scores.append(sum(sorted(squares)[:neighbor_count]))
    return torch.tensor(scores, dtype=torch.float64)


@settings(max_examples=60)
@given(
    data=st.data(), seed=st.integers(0, 2**32), neighbors=st.sampled_from(["blanchard", "byzfl"])
)
def test_rows_are_those_with_the_lowest_scores(
    data: st.DataObject, seed: int, neighbors: str
) -> None:
    f = data.draw(st.integers(0, 5))
    n = data.draw(st.integers(2 * f + 3, 20))
    vectors = make_vectors(n, data.draw(st.sampled_from([1, 2, 17, 257])), seed).double()
    if data.draw(st.booleans()):
        vectors = (vectors * 2).round() / 2  # ties
    scores = slow_scores(vectors, neighbor_count=n - f - (2 if neighbors == "blanchard" else 1))
    best = scores.sort(stable=True).indices
    own = data.draw(st.sampled_from([None, vectors[-1]]))
    krum = robust.create("krum", byzantine_count=f, neighbors=neighbors)
    assert torch.equal(krum(vectors, own=own), vectors[best[0]])
    multi = robust.create("multi-krum", byzantine_count=f, neighbors=neighbors)
    expected = vectors[best[: n - f]].mean(dim=0)
    torch.testing.assert_close(multi(vectors, own=own), expected, rtol=1e-12, atol=1e-12)


def test_without_liars_fewer_of_them_are_no_way_out() -> None:
    said = "byzantine_count=0 needs 3 rows, got 2: give it more, or take a rule that needs fewer"
    with pytest.raises(robust.InfeasibleError, match=said):
        robust.create("krum", byzantine_count=0)(torch.ones(2, 3))
