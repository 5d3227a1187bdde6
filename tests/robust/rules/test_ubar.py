"""UBAR: two stages, what is left when nobody passes, and what scores may not do."""

import math
from collections.abc import Sequence

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


def closeness_to(target: float) -> robust.Evaluate:
    """Score the first entry by how near it is to a target."""
    return lambda vector: [math.exp(-abs(float(vector[0]) - target))]


def make(target: float = 0.0, **params: object) -> robust.Rule:
    return robust.create("ubar", **({"evaluate": closeness_to(target)} | params))


def test_near_neighbors_that_do_as_well_are_averaged_with_own() -> None:
    # Own 10; neighbors at 9, 12, 7, 30 and 11. rho = 0.6 of 5: the nearest three are 9, 11, 12.
    # The best place is 0, so of these only 9 does as well as own: (10 + 9) / 2.
    vectors = torch.tensor([[10.0], [9.0], [12.0], [7.0], [30.0], [11.0]])
    result = make(neighbor_share=0.6).aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == pytest.approx([9.5])
    assert result.coefficients.tolist() == pytest.approx([0.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    assert result.own_coefficient == pytest.approx(0.5)
    # 7 would do better still, but is too far; with rho = 0.8 it is not.
    wider = make(neighbor_share=0.8, own_share=0.25).aggregate(vectors, own=vectors[0])
    assert wider.coefficients.tolist() == pytest.approx([0.0, 0.375, 0.0, 0.375, 0.0, 0.0])
    assert wider.own_coefficient == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("neighbors", "share", "picked"),
    [(5, 0.4, 2), (4, 0.4, 1), (1, 0.4, 1), (2, 0.1, 1), (100, 0.29, 29), (3, 1.0, 3)],
)
def test_how_many_neighbors_are_tried(neighbors: int, share: float, picked: int) -> None:
    # floor(rho |N|), though 0.29 * 100 is 28.999999999999996 in floating point; at least one.
    calls: list[float] = []

    def evaluate(vector: Tensor) -> Sequence[float]:
        calls.append(float(vector[0]))
        return [0.5]

    vectors = torch.arange(neighbors + 1.0)[:, None]
    robust.create("ubar", evaluate=evaluate, neighbor_share=share)(vectors, own=vectors[0])
    assert calls == [float(row) for row in range(picked + 1)]  # own first, then the nearest


def test_neighbor_that_does_just_as_well_is_kept() -> None:
    vectors = torch.tensor([[1.0], [-1.0]])
    assert make()(vectors, own=vectors[0]).tolist() == [0.0]


def test_nobody_as_good_as_own_leaves_own_or_the_nearest() -> None:
    vectors = torch.tensor([[0.0], [2.0], [1.0], [3.0]])
    kept = make().aggregate(vectors, own=vectors[0])
    assert kept.vector.tolist() == [0.0]
    assert kept.own_coefficient == 1.0
    nearest = make(fallback="nearest").aggregate(vectors, own=vectors[0])
    assert nearest.vector.tolist() == [0.5]
    assert nearest.coefficients.tolist() == [0.0, 0.0, 0.5, 0.0]


def test_peer_without_neighbors_keeps_own_and_evaluates_nothing() -> None:
    def evaluate(vector: Tensor) -> Sequence[float]:
        raise AssertionError(vector)

    own = torch.tensor([1.0, 2.0])
    for fallback in ("own", "nearest"):
        rule = robust.create("ubar", evaluate=evaluate, fallback=fallback)
        assert torch.equal(rule(own[None], own=own), own)


def test_scores_of_shards_are_averaged() -> None:
    # Own scores 1 and 0, the neighbor 0.4 and 0.5: less by the mean, more on the second shard.
    scores = {0.0: [1.0, 0.0], 1.0: [0.4, 0.5], 2.0: [0.4, 0.7]}
    rule = robust.create(
        "ubar", evaluate=lambda vector: scores[float(vector[0])], neighbor_share=1.0
    )
    vectors = torch.tensor([[0.0], [1.0], [2.0]])
    assert rule.aggregate(vectors, own=vectors[0]).coefficients.tolist() == [0.0, 0.0, 0.5]


def test_neighbors_at_one_distance_are_tried_by_their_keys() -> None:
    vectors = torch.tensor([[0.0], [1.0], [-1.0]])
    rule = robust.create("ubar", evaluate=lambda _: [0.5], neighbor_share=0.5)
    for keys, kept in ((["a", "b", "c"], [0.0, 0.5, 0.0]), (["a", "c", "b"], [0.0, 0.0, 0.5])):
        result = rule.aggregate(vectors, own=vectors[0], keys=keys)
        assert result.coefficients.tolist() == kept


def test_copies_share_what_one_of_them_got() -> None:
    # The two nearest of five are two of three copies, 1; -1 is as near, and later by its key.
    vectors = torch.tensor([[0.0], [1.0], [1.0], [1.0], [-1.0], [9.0]])
    rule = robust.create("ubar", evaluate=lambda _: [0.5])
    result = rule.aggregate(vectors, own=vectors[0])
    assert result.coefficients.tolist() == pytest.approx([0.0, 1 / 6, 1 / 6, 1 / 6, 0.0, 0.0])


def test_neighbors_that_agree_with_own_count_and_own_itself_does_not() -> None:
    vectors = torch.tensor([[1.0], [1.0], [0.5]])
    result = make(neighbor_share=1.0).aggregate(vectors, own=vectors[0])
    # Neighbors are one copy and 0.5: a quarter each; the equal rows share theirs.
    assert result.coefficients.tolist() == pytest.approx([0.125, 0.125, 0.25])
    assert result.own_coefficient == pytest.approx(0.5)


def test_what_a_neighbor_scores_cannot_raise() -> None:
    # Not a number is the worst, and beyond [0, 1] is no better than its end.
    scores = {0.0: [0.9], 1.0: [math.nan], 2.0: [math.inf], 3.0: [-math.inf]}
    rule = robust.create(
        "ubar", evaluate=lambda vector: scores[float(vector[0])], neighbor_share=1.0
    )
    vectors = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert rule.aggregate(vectors, own=vectors[0]).coefficients.tolist() == [0.0, 0.0, 0.5, 0.0]


def test_a_shard_without_a_number_leaves_the_other_shards_to_count() -> None:
    scores = {0.0: [0.2, 0.2], 1.0: [math.nan, 0.5], 2.0: [math.nan, 0.3]}
    rule = robust.create(
        "ubar", evaluate=lambda vector: scores[float(vector[0])], neighbor_share=1.0
    )
    vectors = torch.tensor([[0.0], [1.0], [2.0]])
    assert rule.aggregate(vectors, own=vectors[0]).coefficients.tolist() == [0.0, 0.5, 0.0]


@pytest.mark.parametrize("scores", [[], [math.nan], [1.5], [-0.1, 0.5]])
def test_wrong_scores_of_own_are_refused(scores: list[float]) -> None:
    vectors = make_vectors(3, 2)
    with pytest.raises(robust.InputError, match="evaluate gave own"):
        robust.create("ubar", evaluate=lambda _: scores)(vectors, own=vectors[0])


def test_a_changing_number_of_shards_is_refused() -> None:
    counts = iter([2, 3])
    rule = robust.create("ubar", evaluate=lambda _: [0.5] * next(counts))
    vectors = make_vectors(3, 2)
    with pytest.raises(robust.InputError, match="3 scores, and 2 for own"):
        rule(vectors, own=vectors[0])


def test_evaluation_may_spoil_what_it_gets() -> None:
    def evaluate(vector: Tensor) -> Sequence[float]:
        vector.fill_(9.0)
        return [0.5]

    vectors = make_vectors(4, 3)
    before = vectors.clone()
    robust.create("ubar", evaluate=evaluate)(vectors, own=vectors[0])
    assert torch.equal(vectors, before)


def test_mixed_rows_are_evaluated_as_they_are_mixed() -> None:
    seen: list[float] = []

    def evaluate(vector: Tensor) -> Sequence[float]:
        seen.append(float(vector[0]))
        return [0.5]

    # f = 1 of 3: the rows 0, 1, 5 become 0.5, 0.5 and 3. All three are neighbors', the nearest
    # to own first.
    vectors = torch.tensor([[0.0], [1.0], [5.0]])
    rule = robust.create("nnm+ubar", byzantine_count=1, evaluate=evaluate, neighbor_share=1.0)
    result = rule(vectors, own=vectors[0])
    assert seen == pytest.approx([0.0, 0.5, 0.5, 3.0])
    assert result.tolist() == pytest.approx([0.5 * 4 / 3])


def test_distances_are_those_of_the_gram_matrix() -> None:
    vectors = torch.tensor([[0.0], [1.0], [5.0]])
    meant = torch.tensor([[0.0], [5.0], [1.0]])
    rule = robust.create("ubar", evaluate=lambda _: [0.5])
    result = rule.aggregate(vectors, own=vectors[0], gram=meant @ meant.T)
    assert result.coefficients.tolist() == [0.0, 0.0, 0.5]


@SOME
@given(
    n=st.integers(2, 15),
    d=st.sampled_from([1, 3, 17]),
    seed=st.integers(0, 2**32),
    share=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_rule_is_its_formula(n: int, d: int, seed: int, share: float) -> None:
    vectors = make_vectors(n, d, seed).double()
    own, neighbors = vectors[0], list(vectors[1:])
    near = sorted(neighbors, key=lambda row: float((row - own).norm()))
    near = near[: max(1, int(share * (n - 1)))]
    score = closeness_to(0.0)
    good = [row for row in near if score(row)[0] >= score(own)[0]]
    expected = own if not good else 0.5 * own + 0.5 * torch.stack(good).mean(dim=0)
    torch.testing.assert_close(make(neighbor_share=share)(vectors, own=own), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("neighbor_share", 0.0), ("neighbor_share", 1.1), ("own_share", -1.0), ("fallback", "mean")],
)
def test_wrong_parameters_are_refused(name: str, value: object) -> None:
    with pytest.raises(robust.RuleError, match=name):
        make(**{name: value})


def test_evaluation_and_own_have_to_be_given() -> None:
    with pytest.raises(robust.RuleError, match=r"missing \['evaluate'\]"):
        robust.create("ubar", byzantine_count=1)
    with pytest.raises(robust.InputError, match="own="):
        make()(make_vectors(3, 2))
