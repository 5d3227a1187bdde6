"""Orders, ranks, masks and the dealing of scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import robust
from robust.ranks.election import elect
from robust.ranks.ranking import (
    check_permutation,
    initial_scores,
    inverse,
    kept_count,
    order_of,
    ranks_of,
    redeal,
    top_mask,
)
from robust.ranks.votes import borda

# Many properties share the suite's time; a profile with more examples scales with it.
FEW = settings(max_examples=max(1, settings().max_examples // 4))

SEEDS = st.integers(0, 2**32)


def draw_scores(seed: int, size: int, *, is_coarse: bool = False) -> torch.Tensor:
    scores = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return (scores * 4).round() / 4 if is_coarse else scores


def test_golden_vote() -> None:
    # Three voters' orders, from least to most important, and the places of the edges in them:
    # W[0] = 5 + 4 + 1 = 10, W[1] = 3 + 5 + 5 = 13, W[2] = 0, W[3] = 4 + 2 + 3 = 9,
    # W[4] = 2 + 1 + 2 = 5, W[5] = 1 + 3 + 4 = 8.
    scores = torch.tensor(
        [
            [0.9, 0.5, 0.1, 0.7, 0.3, 0.2],
            [0.6, 0.9, 0.1, 0.4, 0.2, 0.5],
            [0.2, 0.9, 0.1, 0.5, 0.3, 0.6],
        ]
    )
    orders = [[2, 5, 4, 1, 3, 0], [2, 4, 3, 5, 0, 1], [2, 0, 4, 3, 5, 1]]
    ranks = [[5, 3, 0, 4, 2, 1], [4, 5, 0, 2, 1, 3], [1, 5, 0, 3, 2, 4]]
    assert [order_of(row).tolist() for row in scores] == orders
    assert [ranks_of(row).tolist() for row in scores] == ranks
    totals = borda(torch.tensor(ranks))
    assert totals.tolist() == [10, 13, 0, 9, 5, 8]
    assert inverse(elect(totals)).tolist() == [2, 4, 5, 3, 0, 1]
    rule = robust.create("rank-vote", byzantine_count=0, vote="borda", prefilter=False)
    assert inverse(rule(torch.tensor(ranks))).tolist() == [2, 4, 5, 3, 0, 1]


def test_equal_scores_are_ordered_by_id() -> None:
    assert order_of(torch.tensor([1.0, 0.0, 1.0, 0.0, -0.0])).tolist() == [1, 3, 4, 0, 2]
    assert elect(torch.tensor([4, 4, 4])).tolist() == [0, 1, 2]
    # A descending sort turned around orders them the other way.
    assert torch.argsort(torch.zeros(3), stable=True, descending=True).flip(0).tolist() != [0, 1, 2]


def test_nan_has_no_place() -> None:
    with pytest.raises(robust.InputError, match="NaN"):
        order_of(torch.tensor([0.0, float("nan")]))


@pytest.mark.slow
@FEW
@given(seed=SEEDS, size=st.integers(1, 200), is_coarse=st.booleans())
def test_ranks_and_orders_are_inverse(seed: int, size: int, is_coarse: bool) -> None:
    scores = draw_scores(seed, size, is_coarse=is_coarse)
    order = order_of(scores)
    ranks = ranks_of(scores)
    check_permutation(ranks, "ranks")
    assert torch.equal(ranks[order], torch.arange(size))
    assert torch.equal(inverse(ranks), order)
    assert torch.equal(inverse(inverse(ranks)), ranks)
    assert torch.equal(ranks_of(ranks), ranks)


@pytest.mark.slow
@FEW
@given(seed=SEEDS, size=st.integers(1, 60), is_coarse=st.booleans(), data=st.data())
def test_mask_is_that_of_the_best_ranks(
    seed: int, size: int, is_coarse: bool, data: st.DataObject
) -> None:
    scores = draw_scores(seed, size, is_coarse=is_coarse)
    count = data.draw(st.integers(0, size))
    mask = top_mask(scores, count)
    assert torch.equal(mask, ranks_of(scores) >= size - count)
    assert torch.equal(top_mask(ranks_of(scores), count), mask)


def test_mask_keeps_the_shape() -> None:
    mask = top_mask(torch.tensor([[0.0, 3.0], [2.0, 1.0]]), 2)
    assert mask.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("size", "ratio", "count"), [(10, 0.5, 5), (11, 0.5, 6), (3, 1.0, 3), (1, 0.01, 1)]
)
def test_kept_count_rounds_what_is_dropped_down(size: int, ratio: float, count: int) -> None:
    assert kept_count(size, ratio) == count


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.5, float("nan")])
def test_kept_ratio_out_of_range_is_refused(ratio: float) -> None:
    with pytest.raises(robust.RuleError, match="kept_ratio"):
        kept_count(10, ratio)


def test_initial_scores_make_magnitude_and_value_the_same() -> None:
    uniform = torch.rand(400, generator=torch.Generator().manual_seed(3)) * 2 - 1
    scores = initial_scores(uniform, fan_in=16)
    assert float(scores.min()) >= 0.0
    assert float(scores.max()) <= 0.25
    assert torch.equal(scores.abs(), scores)
    # Of signed scores, the mask by magnitude keeps the worst ranks beside the best ones.
    by_magnitude = top_mask(uniform.abs(), 200)
    assert int((by_magnitude & (ranks_of(uniform) < 100)).sum()) > 50
    with pytest.raises(robust.RuleError, match="fan_in=0"):
        initial_scores(uniform, fan_in=0)


@pytest.mark.slow
@FEW
@given(seed=SEEDS, size=st.integers(1, 100))
def test_redealt_scores_are_the_initial_ones_in_the_order_of_the_vote(seed: int, size: int) -> None:
    initial = draw_scores(seed, size).sort().values
    ranks = ranks_of(draw_scores(seed + 1, size))
    scores = redeal(initial, ranks)
    assert torch.equal(scores.sort().values, initial)
    assert torch.equal(scores[inverse(ranks)], initial)


def test_redealing_needs_a_ranking_of_as_many() -> None:
    with pytest.raises(robust.RankError, match="2 ranks for 3 scores"):
        redeal(torch.tensor([0.5, 0.1, 0.9]), torch.tensor([1, 0]))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (torch.tensor([0, 1, 1]), "x is not a permutation of 0..2: 2 is missing"),
        (torch.tensor([0, 3, 1]), "3 is outside 0..2"),
        (torch.tensor([0, -1, 1]), "-1 is outside 0..2"),
        (torch.tensor([0, 2**62]), "4611686018427387904 is outside"),
        (torch.tensor([0.0, 1.0]), "float32"),
        (torch.tensor([0, 1], dtype=torch.int32), "int32"),
        (torch.tensor([[0, 1]]), "shape"),
        (torch.tensor([], dtype=torch.int64), "shape"),
    ],
)
def test_what_is_no_permutation_is_refused(values: torch.Tensor, complaint: str) -> None:
    with pytest.raises(robust.RankError, match=complaint):
        check_permutation(values, "x")
