"""What must hold for rules on any input, searched by hypothesis.

Sizes and seeds are drawn, entries come from torch generators: normal, or on a coarse grid where
ties are common.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust import blocks
from robust.rule import Rule

pytestmark = pytest.mark.slow

DIMENSIONS = [1, 2, 3, 17, 257]
RULES = robust.names()
COORDINATE_WISE = ["median", "trimmed-mean"]


@dataclass(frozen=True)
class Case:
    """Rows, one of them own, of which the last f may be replaced by lies."""

    vectors: Tensor
    byzantine_count: int
    generator: torch.Generator

    @property
    def honest(self) -> Tensor:
        return self.vectors[: len(self.vectors) - self.byzantine_count]

    def with_lies(self, magnitude: float, count: int | None = None) -> Tensor:
        lies = self.byzantine_count if count is None else count
        direction = torch.randn(self.vectors.shape[1], generator=self.generator)
        vectors = self.vectors.clone()
        vectors[len(vectors) - lies :] = direction.to(vectors.dtype) * magnitude
        return vectors

    def apply(self, rule: Rule, vectors: Tensor | None = None) -> Tensor:
        rows = self.vectors if vectors is None else vectors
        return rule(rows, own=rows[0])


@st.composite
def cases(draw: st.DrawFn, dtype: torch.dtype = torch.float64) -> Case:
    n = draw(st.integers(3, 25))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    vectors = torch.randn(n, draw(st.sampled_from(DIMENSIONS)), generator=generator).to(dtype)
    if draw(st.booleans()):
        vectors = (vectors * 2).round() / 2
    return Case(vectors, draw(st.integers(1, (n - 1) // 2)), generator)


def make(name: str, case: Case) -> Rule:
    return robust.create(name, byzantine_count=case.byzantine_count)


def weights_for(case: Case) -> Tensor:
    weights = torch.rand(len(case.vectors), generator=case.generator, dtype=torch.float64)
    return weights / weights.sum()


@pytest.mark.parametrize("name", RULES)
@given(case=cases(torch.float32))
def test_p1_order_of_rows_does_not_matter(name: str, case: Case) -> None:
    rule = make(name, case)
    count = len(case.vectors)
    order = torch.randperm(count, generator=case.generator)
    weights, own = weights_for(case), case.vectors[0]
    keys = [f"peer {row:02}" for row in range(count)]
    first = rule.aggregate(case.vectors, own=own, weights=weights, keys=keys)
    second = rule.aggregate(
        case.vectors[order], own=own, weights=weights[order], keys=[keys[row] for row in order]
    )
    # With keys to the last bit, without them up to rounding.
    assert torch.equal(first.vector, second.vector)
    torch.testing.assert_close(first.coefficients[order], second.coefficients)
    unkeyed = rule(case.vectors[order], own=own, weights=weights[order])
    torch.testing.assert_close(first.vector, unkeyed)


@pytest.mark.parametrize("name", RULES)
@given(case=cases())
def test_p2_moves_with_the_origin(name: str, case: Case) -> None:
    rule = make(name, case)
    shift = torch.randn(case.vectors.shape[1], generator=case.generator).double()
    moved = case.apply(rule, case.vectors + shift)
    torch.testing.assert_close(moved, case.apply(rule) + shift)


@pytest.mark.parametrize("name", RULES)
@given(case=cases(), scale=st.floats(1e-6, 1e6))
def test_p3_scales_with_the_unit(name: str, case: Case, scale: float) -> None:
    rule = make(name, case)
    scaled = case.apply(rule, case.vectors * scale)
    torch.testing.assert_close(scaled, case.apply(rule) * scale)


@given(case=cases(), scale=st.floats(1e-6, 1e6), radius=st.floats(0.0, 10.0))
def test_p3_scales_with_the_unit_of_the_radius(case: Case, scale: float, radius: float) -> None:
    name = "self-centered-clipping"
    rule = robust.create(name, byzantine_count=1, radius=radius)
    scaled_rule = robust.create(name, byzantine_count=1, radius=radius * scale)
    scaled = case.apply(scaled_rule, case.vectors * scale)
    torch.testing.assert_close(scaled, case.apply(rule) * scale)


@pytest.mark.parametrize("name", RULES)
@given(case=cases(torch.float32))
def test_p5_agreement_is_kept(name: str, case: Case) -> None:
    agreed = case.vectors[:1].expand_as(case.vectors)
    result = make(name, case).aggregate(agreed, own=agreed[0])
    torch.testing.assert_close(result.vector, agreed[0])
    # Equal rows have equal shares, whatever ties were cut.
    shares = torch.full((len(agreed),), 1.0 / len(agreed), dtype=torch.float64)
    torch.testing.assert_close(result.coefficients, shares, rtol=1e-6, atol=0.0)


@given(case=cases(torch.float32))
def test_p6_trimming_nothing_is_the_mean(case: Case) -> None:
    trimmed = robust.create("trimmed-mean", byzantine_count=0)
    torch.testing.assert_close(trimmed(case.vectors), robust.create("mean")(case.vectors))


@pytest.mark.parametrize("name", COORDINATE_WISE)
@given(case=cases(), magnitude=st.floats(-1e30, 1e30))
def test_p7_coordinates_stay_in_the_honest_range(name: str, case: Case, magnitude: float) -> None:
    result = case.apply(make(name, case), case.with_lies(magnitude))
    low, high = case.honest.aminmax(dim=0)
    rounding = 1e-14 * (high - low + high.abs() + low.abs())
    assert bool((result >= low - rounding).all())
    assert bool((result <= high + rounding).all())


@pytest.mark.parametrize("name", ["mean", "self-centered-clipping"])
@given(case=cases())
def test_p7_affine_rules_are_what_their_coefficients_say(name: str, case: Case) -> None:
    own = case.vectors[0]
    result = make(name, case).aggregate(case.vectors, own=own, weights=weights_for(case))
    combined = result.coefficients @ case.vectors + result.own_coefficient * own
    torch.testing.assert_close(result.vector, combined)
    assert float(result.coefficients.min()) >= 0.0
    assert result.own_coefficient >= -1e-15


def squared_error_bound(name: str, case: Case) -> float:
    """Kappa times the honest variance; Allouah et al. 2023, (f, kappa)-robustness."""
    ratio = case.byzantine_count / (len(case.vectors) - 2 * case.byzantine_count)
    kappa = {"trimmed-mean": 6 * ratio * (1 + ratio), "median": 4 * (1 + ratio) ** 2}[name]
    spread = case.honest - case.honest.mean(dim=0)
    return kappa * float(spread.square().sum(dim=1).mean())


def squared_error(result: Tensor, case: Case) -> float:
    return float((result - case.honest.mean(dim=0)).square().sum())


@pytest.mark.parametrize("name", COORDINATE_WISE)
@given(case=cases(), exponent=st.integers(3, 30))
def test_p9_liars_move_the_result_by_no_more_than_honest_peers_differ(
    name: str, case: Case, exponent: int
) -> None:
    result = case.apply(make(name, case), case.with_lies(10.0**exponent))
    assert squared_error(result, case) <= 1.01 * squared_error_bound(name, case) + 1e-12


@given(case=cases(), exponent=st.integers(3, 30))
def test_p9_liars_move_self_centered_clipping_by_no_more_than_honest_peers_differ(
    case: Case, exponent: int
) -> None:
    result = case.apply(make("self-centered-clipping", case), case.with_lies(10.0**exponent))
    furthest = float((case.honest - case.honest[0]).norm(dim=1).max())
    assert float((result - case.honest[0]).norm()) <= furthest * (1 + 1e-9)


# Negative controls: the same searches fail where they must.


@given(case=cases(), exponent=st.integers(9, 30))
def test_p9_one_liar_breaks_the_mean(case: Case, exponent: int) -> None:
    lies = case.with_lies(10.0**exponent, count=1)
    error = squared_error(case.apply(make("mean", case), lies), case)
    assert error > squared_error_bound("median", case)


@given(case=cases(), exponent=st.integers(9, 30))
def test_p9_one_liar_too_many_breaks_the_trimmed_mean(case: Case, exponent: int) -> None:
    lies = case.with_lies(10.0**exponent, count=case.byzantine_count + 1)
    error = squared_error(case.apply(make("trimmed-mean", case), lies), case)
    assert error > squared_error_bound("trimmed-mean", case)


@given(case=cases(), exponent=st.integers(9, 30))
def test_p9_a_lying_half_breaks_the_median(case: Case, exponent: int) -> None:
    lies = case.with_lies(10.0**exponent, count=math.ceil(len(case.vectors) / 2))
    error = squared_error(case.apply(make("median", case), lies), case)
    assert error > squared_error_bound("median", case)


@given(case=cases(), exponent=st.integers(9, 30))
def test_p9_one_liar_too_many_breaks_self_centered_clipping(case: Case, exponent: int) -> None:
    lies = case.with_lies(10.0**exponent, count=case.byzantine_count + 1)
    result = case.apply(make("self-centered-clipping", case), lies)
    assert float((result - lies[0]).norm()) > float((case.honest - lies[0]).norm(dim=1).max())


@given(case=cases(), radius=st.floats(0.0, 5.0), exponent=st.integers(-2, 30))
def test_p12_one_row_moves_clipping_by_twice_its_weighted_radius(
    case: Case, radius: float, exponent: int
) -> None:
    rule = robust.create("self-centered-clipping", byzantine_count=1, radius=radius)
    own, weights = case.vectors[0], weights_for(case)
    lies = case.with_lies(10.0**exponent, count=1)
    moved = rule(lies, own=own, weights=weights) - rule(case.vectors, own=own, weights=weights)
    assert float(moved.norm()) <= 2 * radius * float(weights[-1]) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("name", RULES)
@given(case=cases(torch.float32))
def test_p14_nothing_is_changed_and_nothing_remembered(name: str, case: Case) -> None:
    rule = make(name, case)
    weights, gram = weights_for(case), case.vectors @ case.vectors.T
    arguments = {"own": case.vectors[0].clone(), "weights": weights, "gram": gram}
    before = [case.vectors.clone(), *(value.clone() for value in arguments.values())]
    first = rule.aggregate(case.vectors, **arguments)
    second = rule.aggregate(case.vectors, **arguments)
    assert torch.equal(first.vector, second.vector)
    assert torch.equal(first.coefficients, second.coefficients)
    after = [case.vectors, *arguments.values()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("columns", [1, 7, 300, 8192])
def test_p15_block_size_does_not_matter(
    name: str, dtype: torch.dtype, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(columns)
    vectors = torch.randn(9, 300, generator=generator).to(dtype)
    rule = robust.create(name, byzantine_count=2)
    whole = rule.aggregate(vectors, own=vectors[0])
    monkeypatch.setattr(blocks, "CPU_BLOCK_COLUMNS", columns)
    in_blocks = rule.aggregate(vectors, own=vectors[0])
    if name == "self-centered-clipping":  # its norms are sums over blocks
        torch.testing.assert_close(in_blocks.vector, whole.vector)
    else:
        assert torch.equal(in_blocks.vector, whole.vector)
    torch.testing.assert_close(in_blocks.coefficients, whole.coefficients)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@given(case=cases())
def test_p16_short_types_are_summed_in_longer_ones(
    name: str, dtype: torch.dtype, case: Case
) -> None:
    rule = make(name, case)
    rows = case.vectors.to(dtype)
    exact = case.apply(rule, rows.double())
    result = case.apply(rule, rows)
    # One rounding of the result, of at most half a unit in the last place, and float32 sums.
    scale = float(rows.double().abs().max())
    tolerance = torch.finfo(dtype).eps / 2 + 1e-6
    assert float((result.double() - exact).abs().max()) <= tolerance * max(scale, 1e-3)


@given(case=cases(torch.float32))
def test_p17_unclipped_is_plain_gossip_and_radius_zero_is_own(case: Case) -> None:
    own, weights = case.vectors[0], weights_for(case)
    name = "self-centered-clipping"
    unclipped = robust.create(name, byzantine_count=1, radius=math.inf)
    gossip = robust.create("mean")(case.vectors, weights=weights)
    result = unclipped(case.vectors, own=own, weights=weights)
    torch.testing.assert_close(result, gossip, rtol=1e-5, atol=1e-5)
    fixed = robust.create(name, byzantine_count=1, radius=0.0)
    assert torch.equal(fixed(case.vectors, own=own, weights=weights), own)


@given(case=cases(), radius=st.floats(0.0, 5.0), exponent=st.integers(-2, 30))
def test_p17_among_liars_only_self_centered_clipping_stays_near_own(
    case: Case, radius: float, exponent: int
) -> None:
    neighbors = len(case.vectors) - 1
    lies, own = case.with_lies(10.0**exponent, count=neighbors), case.vectors[0]
    name = "self-centered-clipping"
    assert torch.equal(robust.create(name, byzantine_count=neighbors)(lies, own=own), own)
    result = robust.create(name, byzantine_count=neighbors, radius=radius)(lies, own=own)
    assert float((result - own).norm()) <= radius * (1 + 1e-9) + 1e-12
