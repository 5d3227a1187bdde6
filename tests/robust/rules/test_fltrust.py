"""FLTrust: trust by the angle to own, and one length for all."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust.registry import accepts

# Each example runs a rule on a few rows; a quarter of the usual number shows as much.
SOME = settings(max_examples=max(1, settings().max_examples // 4))


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


RULE = robust.create("fltrust")


def test_rows_are_weighed_by_their_angle_and_scaled_to_own() -> None:
    # Own (2, 0). (0, 5) is orthogonal and (-1, 0) opposite: trust 0. (3, 4) has cosine 0.6 and
    # is 5 long: scaled to (1.2, 1.6). Own itself has trust 1.
    # ((2, 0) + 0.6 (1.2, 1.6)) / 1.6 = (2.72, 0.96) / 1.6.
    vectors = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [3.0, 4.0]])
    result = RULE.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(result.vector, torch.tensor([1.7, 0.6]))
    # 1 / 1.6, and 0.6 / 1.6 of the row as it was scaled.
    assert result.coefficients.tolist() == pytest.approx([0.625, 0.0, 0.0, 0.375])
    assert result.own_coefficient == 0.0


def test_without_own_among_the_rows_it_is_the_reference_only() -> None:
    # (3, 4) and (4, 3) have trust 0.6 and 0.8; scaled to 2: 0.6 (1.2, 1.6) + 0.8 (1.6, 1.2).
    vectors = torch.tensor([[3.0, 4.0], [4.0, 3.0]])
    result = RULE(vectors, own=torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(result, torch.tensor([2.0 / 1.4, 1.92 / 1.4]))


def test_without_a_trusted_row_own_is_kept_to_the_last_bit() -> None:
    own = torch.tensor([0.1, 0.7])
    vectors = torch.tensor([[-1.0, 0.0], [0.7, -0.1], [0.0, 0.0]])
    result = RULE.aggregate(vectors, own=own)
    assert torch.equal(result.vector, own)
    assert result.coefficients.tolist() == [0.0, 0.0, 0.0]
    assert result.own_coefficient == 1.0


def test_a_row_without_length_is_not_trusted() -> None:
    vectors = torch.tensor([[2.0], [0.0], [1.0]])
    result = RULE.aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == [2.0]
    assert result.coefficients.tolist() == [0.5, 0.0, 0.5]


def test_a_row_too_short_to_have_a_direction_is_not_trusted() -> None:
    vectors = torch.tensor([[1e12], [1.0], [0.99]], dtype=torch.float64)
    assert RULE.aggregate(vectors, own=vectors[0]).coefficients.tolist() == [0.5, 0.5, 0.0]


def test_own_without_length_trusts_nobody() -> None:
    vectors = torch.cat([torch.zeros(1, 3), make_vectors(3, 3)])
    result = RULE.aggregate(vectors, own=vectors[0])
    assert result.vector.tolist() == [0.0] * 3
    assert result.own_coefficient == 1.0


@SOME
@given(seed=st.integers(0, 2**32), exponent=st.floats(-30.0, 30.0), dtype_is_short=st.booleans())
def test_no_row_is_longer_than_own(seed: int, exponent: float, dtype_is_short: bool) -> None:
    vectors = make_vectors(7, 40, seed)
    vectors[3:] *= 10.0**exponent
    if dtype_is_short:
        vectors = vectors.clamp(-3e38, 3e38).bfloat16()
    result = RULE(vectors, own=vectors[0])
    assert result.isfinite().all()
    length = float(result.double().norm())
    assert length <= float(vectors[0].double().norm()) * (1.01 if dtype_is_short else 1.0001)


@pytest.mark.parametrize("ratio", [1.0, 1e-3, 1e-5, 1e-8, 1e-11])
def test_short_rows_are_scaled_by_what_they_measure(ratio: float) -> None:
    # Measured as a difference from own, a row 1e5 times shorter has no digits in float32, and
    # scaled up to own, it may get any length.
    vectors = make_vectors(3, 1000)
    vectors[1] = (vectors[0] + vectors[1]) * ratio
    result = RULE.aggregate(vectors[:2], own=vectors[0])
    own, row = vectors[0].double(), vectors[1].double()
    trust = float(own @ row / own.norm() / row.norm())
    expected = [1 / (1 + trust), trust / (1 + trust)]
    assert result.coefficients.tolist() == pytest.approx(expected, rel=1e-4)
    combined = expected[0] * own + expected[1] * (own.norm() / row.norm()) * row
    torch.testing.assert_close(result.vector.double(), combined, rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("magnitude", [1e-20, 1e-30, 1e-38, 1e-44])
def test_vanishing_rows_have_no_direction(magnitude: float) -> None:
    # Scaled up to own, these would leave the range of float32, or be nothing times infinity.
    vectors = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    vectors[1] *= magnitude
    result = RULE.aggregate(vectors, own=vectors[0])
    assert torch.equal(result.vector, vectors[0])
    assert result.coefficients.tolist() == [1.0, 0.0]


def test_squares_that_vanish_do_not_lengthen_a_row() -> None:
    # Squares of 2.6e-23 round to 0 in float32, that of the one larger entry does not: by them, the
    # row would be much shorter than it is. Own is as short, so that the row has a direction.
    vectors = torch.full((2, 10_000), 2.6e-23)
    vectors[1, 0] = 4e-23
    result = RULE.aggregate(vectors, own=vectors[0])
    assert result.coefficients.tolist() == pytest.approx([0.5, 0.5], rel=1e-3)


def test_lengths_and_angles_are_those_of_the_gram_matrix() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    vectors[1, 1] = 1.0
    meant = torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 4.0]])
    result = RULE.aggregate(vectors, own=vectors[0], gram=meant @ meant.T)
    assert result.coefficients.tolist() == pytest.approx([0.625, 0.0, 0.375])


@SOME
@given(n=st.integers(1, 15), d=st.sampled_from([1, 3, 17]), seed=st.integers(0, 2**32))
def test_rule_is_its_formula(n: int, d: int, seed: int) -> None:
    vectors = make_vectors(n, d, seed).double()
    own = vectors[0]
    trusts = [max(0.0, float(row @ own / row.norm() / own.norm())) for row in vectors]
    scaled = [
        trust * own.norm() / row.norm() * row for trust, row in zip(trusts, vectors, strict=True)
    ]
    expected = torch.stack(scaled).sum(dim=0) / sum(trusts)
    torch.testing.assert_close(RULE(vectors, own=own), expected)


@SOME
@given(n=st.integers(1, 15), seed=st.integers(0, 2**32), exponents=st.lists(st.integers(-8, 8)))
def test_result_is_the_scaled_rows_by_their_shares(n: int, seed: int, exponents: list[int]) -> None:
    vectors = make_vectors(n, 17, seed).double()
    for row, exponent in zip(vectors, exponents, strict=False):
        row *= 10.0**exponent
    own = vectors[0].clone()
    result = RULE.aggregate(vectors, own=own)
    scaled = own.norm() * vectors / vectors.norm(dim=1, keepdim=True)
    combined = result.coefficients @ scaled + result.own_coefficient * own
    torch.testing.assert_close(result.vector / own.norm(), combined / own.norm())
    assert float(result.coefficients.sum()) + result.own_coefficient == pytest.approx(1.0)


def test_behind_mixing_shares_are_those_of_the_rows_in_the_means() -> None:
    # Of (10, 0), (1, 1) and (1, -1) the first has two nearest rows that tie: its mean is half of
    # it and a quarter of each, (5.5, 0). The others' mean is (1, 0) twice. All have trust 1, and
    # count a third each: 1/3 1/2 of the first row, 1/3 (1/4 + 1/2 + 1/2) of each other.
    vectors = torch.tensor([[10.0, 0.0], [1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    rule = robust.create("nnm+fltrust", byzantine_count=1)
    result = rule.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(result.vector, vectors[0])
    assert result.coefficients.tolist() == pytest.approx([1 / 6, 5 / 12, 5 / 12])


@pytest.mark.parametrize(
    "name", ["nnm+fltrust", "bucketing+fltrust", "clipping+fltrust", "arc+nnm+fltrust"]
)
@pytest.mark.parametrize("seed", range(3))
def test_behind_other_steps_shares_sum_to_one(name: str, seed: int) -> None:
    vectors = make_vectors(9, 6, seed).double()
    vectors[1:] *= 1e-4
    params = {"radius": 1e-5, "seed": 5}
    known = {key: value for key, value in params.items() if accepts(name, key)}
    rule = robust.create(name, byzantine_count=1, **known)
    result = rule.aggregate(vectors, own=vectors[0])
    assert float(result.coefficients.min()) >= 0.0
    assert float(result.coefficients.sum()) + result.own_coefficient == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["arc+fltrust", "clipping+fltrust"])
def test_a_long_row_hides_no_share_behind_clipping(name: str) -> None:
    # The rule scales rows to own anyway, so to shorten them changes neither vector nor shares.
    vectors = make_vectors(9, 50).double()
    vectors[1:] = 0.3 * vectors[1:] + vectors[0]
    vectors[8] *= 1000.0
    params = {"radius": 2.0} if accepts(name, "radius") else {}
    clipped = robust.create(name, byzantine_count=1, **params).aggregate(vectors, own=vectors[0])
    plain = RULE.aggregate(vectors, own=vectors[0])
    torch.testing.assert_close(clipped.vector, plain.vector)
    torch.testing.assert_close(clipped.coefficients, plain.coefficients)


def test_result_depends_on_the_origin() -> None:
    vectors = make_vectors(9, 5)
    moved = RULE(vectors + 10.0, own=vectors[0] + 10.0)
    assert float((moved - RULE(vectors, own=vectors[0]) - 10.0).norm()) > 1e-2


def test_opposite_rows_have_no_say_however_long() -> None:
    vectors = make_vectors(5, 8)
    honest = RULE(vectors[:2], own=vectors[0])
    vectors[2:] = -1e30 * vectors[0]
    torch.testing.assert_close(RULE(vectors, own=vectors[0]), honest)
    assert math.isfinite(float(honest.norm()))


def test_own_has_to_be_given() -> None:
    with pytest.raises(robust.InputError, match="own="):
        RULE(make_vectors(3, 2))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_wild_values_are_refused(value: float) -> None:
    vectors = make_vectors(5, 6)
    vectors[3, 2] = value
    with pytest.raises(robust.InputError, match="NaN or infinity"):
        RULE(vectors, own=torch.ones(6))
    with pytest.raises(robust.InputError, match="NaN or infinity"):
        RULE(vectors, gram=torch.eye(5), own=vectors[0])
