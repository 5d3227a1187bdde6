"""Inputs on which robust aggregation is known to go wrong, one test each."""

import math

import pytest
import torch
from torch import Tensor

import robust
from robust.blocks import distance
from robust.registry import accepts
from robust.rules.coordinate_wise import Median, TrimmedMean

RULES = sorted({*robust.names()} - {"rank-vote"})  # which reads ranks
# Those whose result is what all rows agree on: not a step, and not a refusal to trust copies.
AGREEING = sorted({*RULES} - {"foolsgold", "sign-majority"})


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def apply(name: str, vectors: Tensor, byzantine_count: int = 4) -> Tensor:
    scores = {"evaluate": lambda _: [0.5]} if accepts(name, "evaluate") else {}
    rule = robust.create(name, byzantine_count=byzantine_count, **scores)
    return rule(vectors, own=vectors[0])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_wild_coordinate_is_refused_and_never_trimmed_by_accident(
    name: str, value: float
) -> None:
    # NaN sorts last, so a trimmed mean without this check would hide up to f of them.
    vectors = make_vectors(20, 50)
    vectors[7, 13] = value
    with pytest.raises(robust.InputError, match="NaN or infinity"):
        apply(name, vectors)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("magnitude", [1e20, 3e38])
def test_rows_whose_squares_overflow_give_finite_results(name: str, magnitude: float) -> None:
    vectors = make_vectors(20, 50)
    vectors[16:] = magnitude
    vectors[17] = -magnitude
    result = apply(name, vectors)
    assert result.isfinite().all()
    if name not in ("mean", "foolsgold"):  # which lets a liar alone pass
        assert float(result.abs().max()) < 10.0


@pytest.mark.parametrize("name", AGREEING)
def test_sums_do_not_overflow_where_their_mean_does_not(name: str) -> None:
    vectors = torch.full((5, 3), 3e38)
    torch.testing.assert_close(apply(name, vectors, byzantine_count=1), vectors[0])


def test_difference_that_overflows_pulls_nowhere() -> None:
    vectors = torch.tensor([[3e38, 0.0], [-3e38, 0.0], [3e38, 1.0]])
    for radius in (1.0, math.inf):
        rule = robust.create("self-centered-clipping", byzantine_count=0, radius=radius)
        result = rule.aggregate(vectors, own=vectors[0])
        torch.testing.assert_close(result.vector, torch.tensor([3e38, 1 / 3]))
        assert result.coefficients.tolist()[1] == 0.0


@pytest.mark.parametrize(
    "name", ["balance", "centered-clipping", "monna", "self-centered-clipping", "ubar"]
)
def test_difference_that_overflows_is_the_longest_wherever_its_row_stands(name: str) -> None:
    # As NaN it would be sorted to anywhere, and with it the radius or the neighbors.
    vectors = torch.tensor([[-3e38, 0.0], *([-3e38, 0.1 * i] for i in range(1, 5)), [3e38, 5.0]])
    scores = {"evaluate": lambda _: [0.5]} if accepts(name, "evaluate") else {}
    rule, keys = robust.create(name, byzantine_count=1, **scores), list("abcdef")
    expected = rule(vectors, own=vectors[0], keys=keys)
    assert 0.0 < float(expected[1]) < 0.4
    for place in range(6):
        order = [row for row in range(5) if row != place]
        order.insert(place, 5)
        order += sorted(set(range(6)) - set(order))
        found = rule(vectors[order], own=vectors[0], keys=[keys[row] for row in order])
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", AGREEING)
@pytest.mark.parametrize("value", [0.0, -7.25])
def test_equal_rows_divide_nothing_by_zero(name: str, value: float) -> None:
    vectors = torch.full((20, 50), value)
    torch.testing.assert_close(apply(name, vectors), vectors[0])


def test_many_rows_far_from_zero_keep_their_small_distances() -> None:
    # More than 25 rows is where torch.cdist turns to products, which have no digits left here.
    vectors = 1e3 + 1e-2 * make_vectors(30, 1000)
    exact = (vectors.double() - vectors[0].double()).norm(dim=1)
    measured = [distance(row, vectors[0]) for row in vectors]
    assert measured[0] == 0.0
    assert measured == pytest.approx(exact.tolist(), rel=1e-5)


def test_krum_finds_its_row_among_many_far_from_zero() -> None:
    # The row that the others surround; by products about the origin any row might win.
    vectors = 1e3 + 1e-2 * make_vectors(30, 1000)
    vectors[17] = vectors.double().mean(dim=0).float()
    winner = robust.create("krum", byzantine_count=4)(vectors)
    assert torch.equal(winner, vectors[17])


def test_gram_of_rows_minus_own_gives_the_same_as_the_rows() -> None:
    vectors = 100.0 + 1e-2 * make_vectors(10, 40)
    centered = vectors - vectors[0]
    rule = robust.create("self-centered-clipping", byzantine_count=2)
    by_gram = rule.aggregate(vectors, own=vectors[0], gram=centered @ centered.T)
    by_rows = rule.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(by_gram.coefficients, by_rows.coefficients, rtol=1e-5, atol=0.0)


def test_gram_with_rounding_below_zero_is_distance_zero() -> None:
    gram = torch.tensor([[1.0, 1.0 + 1e-6], [1.0 + 1e-6, 1.0]], dtype=torch.float64)
    vectors = torch.tensor([[1.0], [2.0]])
    rule = robust.create("self-centered-clipping", byzantine_count=0)
    assert rule(vectors, own=vectors[0], gram=gram).tolist() == [1.5]


@pytest.mark.parametrize("name", ["median", "trimmed-mean"])
def test_copies_of_one_row_share_alike(name: str) -> None:
    # Sybils that repeat a row gain nothing by their place: equal rows, equal shares.
    vectors = make_vectors(9, 100)
    vectors[[5, 8]] = vectors[2].clone()
    shares = robust.create(name, byzantine_count=2).aggregate(vectors).coefficients
    torch.testing.assert_close(shares[[2, 5, 8]], shares[2].expand(3))


def test_copy_of_own_is_not_credited_with_what_clipping_leaves_to_own() -> None:
    vectors = torch.tensor([[0.0], [0.0], [1.0], [9.0]])
    rule = robust.create("self-centered-clipping", byzantine_count=1)
    result = rule.aggregate(vectors, own=vectors[0])
    assert result.coefficients[:2].tolist() == [0.25, 0.25]
    assert result.own_coefficient == pytest.approx(0.25 * 8 / 9)


@pytest.mark.parametrize("n", [2, 4, 6])
@pytest.mark.parametrize("d", [1, 7])
def test_median_of_an_even_count_averages_the_middle_two(n: int, d: int) -> None:
    vectors = make_vectors(n, d)
    expected = vectors.quantile(0.5, dim=0)
    torch.testing.assert_close(Median()(vectors), expected)


def test_trimming_zero_values_keeps_all() -> None:
    # The slice [f:-f] is empty for f = 0.
    result = TrimmedMean(byzantine_count=0).aggregate(make_vectors(4, 5))
    torch.testing.assert_close(result.vector, make_vectors(4, 5).mean(dim=0))
    assert result.coefficients.tolist() == [0.25] * 4


@pytest.mark.parametrize("name", ["median", "trimmed-mean"])
def test_a_lying_half_is_refused_and_not_lowered_in_silence(name: str) -> None:
    with pytest.raises(robust.InfeasibleError, match="byzantine_count=2 needs 5 rows, got 4"):
        apply(name, make_vectors(4, 3), byzantine_count=2)


@pytest.mark.parametrize("name", ["median", "trimmed-mean"])
def test_ties_of_a_short_type_are_counted_in_full(name: str) -> None:
    # bfloat16 has 3 significant digits: of 20 rows nearly all coordinates have ties.
    vectors = make_vectors(20, 200).bfloat16()
    result = robust.create(name, byzantine_count=4).aggregate(vectors)
    assert float(result.coefficients.sum()) == pytest.approx(1.0)


def test_short_type_is_not_summed_in_itself() -> None:
    # In bfloat16, 256 + 1 is 256: a running sum of 300 ones would stop there.
    vectors = torch.ones(300, 2, dtype=torch.bfloat16)
    assert robust.create("mean")(vectors).tolist() == [1.0, 1.0]


def test_keys_fix_the_order_of_summation() -> None:
    vectors = torch.tensor([[1e8], [1.0], [-1e8], [1.0]])
    keys = ["d", "b", "c", "a"]
    result = robust.create("mean")(vectors, keys=keys)
    order = [3, 1, 2, 0]
    assert torch.equal(result, robust.create("mean")(vectors[order]))
    assert not torch.equal(result, robust.create("mean")(vectors))


@pytest.mark.parametrize("name", AGREEING)
def test_denormal_numbers_are_numbers(name: str) -> None:
    vectors = torch.full((5, 3), 1e-40)
    torch.testing.assert_close(apply(name, vectors, byzantine_count=1), vectors[0])
    assert distance(vectors[0]) == pytest.approx(3**0.5 * 1e-40, rel=1e-3)


def test_norm_of_wide_numbers_and_of_a_zero_vector() -> None:
    assert distance(torch.zeros(5)) == 0.0
    assert distance(torch.tensor([3e38, 3e38])) == pytest.approx(2**0.5 * 3e38)
    assert distance(torch.tensor([3e200, 4e200], dtype=torch.float64)) == pytest.approx(5e200)
    assert math.isnan(distance(torch.tensor([1.0, math.nan])))
    assert distance(torch.tensor([1.0, math.inf])) == math.inf
    assert distance(torch.tensor([3e38, 1.0]), torch.tensor([-3e38, 1.0])) == math.inf
