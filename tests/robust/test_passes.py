"""The passes over long vectors: products, sums and the search for wild values, in wide blocks."""

import math

import pytest
import torch
from torch import Tensor

import robust
from robust import blocks
from robust.blocks import combine, is_finite, stream_blocks
from robust.geometry import measure
from robust.inner_products import inner_products


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_wide_blocks_cover_all_columns_and_hold_little() -> None:
    vectors = torch.empty(1).expand(20, 3_000_000)
    cut = list(stream_blocks(vectors, held_rows=21))
    assert [piece.start for piece in cut] == [0, *(piece.stop for piece in cut[:-1])]
    assert cut[-1].stop == 3_000_000
    assert cut[0].stop % blocks.CPU_BLOCK_COLUMNS == 0
    assert cut[0].stop * 21 * 4 <= blocks.STREAM_BYTES
    # A thousand rows still are whole blocks, one at a time.
    assert next(stream_blocks(vectors, held_rows=1_000)).stop == blocks.CPU_BLOCK_COLUMNS


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 13, 17, 20, 33])
@pytest.mark.parametrize("is_centered", [True, False])
def test_products_are_those_of_the_differences(n: int, is_centered: bool) -> None:
    vectors = make_vectors(n, 40_000)
    own = make_vectors(1, 40_000, seed=1)[0]
    order = list(range(n))[::-1]
    found = inner_products(vectors, own, order, scales=None, is_centered=is_centered)
    wide = vectors.double()[order] - (own.double() if is_centered else 0.0)
    base = torch.cat([wide, own.double()[None]])
    torch.testing.assert_close(found, base @ base.T, rtol=1e-6, atol=40_000 * 1e-6)
    assert torch.equal(found, found.T)


@pytest.mark.parametrize("columns", [1, 7, 100, 999, 5_000])
def test_products_of_parts_and_paddings_are_the_same(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = make_vectors(6, 1_000).double()
    whole = inner_products(vectors, None, range(6), scales=None)
    monkeypatch.setattr(blocks, "CPU_BLOCK_COLUMNS", columns)
    parts = inner_products(vectors, None, range(6), scales=None)
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("n", [5, 20, 29])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_are_at_distance_zero(n: int, dtype: torch.dtype) -> None:
    vectors = make_vectors(n, 3_001).to(dtype)
    vectors[[1, n // 2, n - 1]] = vectors[0].clone()
    distances = measure(vectors, vectors[2], has_origin=False).squared_distances()
    for row in (1, n // 2, n - 1):
        assert float(distances[0, row]) == 0.0
    assert int((distances == 0.0).sum()) == n + 3 * 4  # the diagonal, and 4 rows that are equal


@pytest.mark.parametrize("spread", [1e-1, 1e-2, 1e-3])
def test_rows_far_from_own_are_still_told_apart(spread: float) -> None:
    # A newcomer has not moved yet, and all others have, in about the same direction.
    vectors = 1.0 + spread * make_vectors(9, 2_000)
    vectors[8] = 1e6
    exact = (vectors.double()[:, None] - vectors.double()[None]).square().sum(dim=2)
    found = measure(vectors, torch.zeros(2_000)).squared_distances()
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=0.0)


def test_differences_do_not_know_the_origin() -> None:
    vectors = make_vectors(4, 10)
    geometry = measure(vectors, vectors[0], has_origin=False)
    torch.testing.assert_close(
        geometry.squared_distances(), measure(vectors, vectors[0]).squared_distances()
    )
    with pytest.raises(AssertionError):
        geometry.squared_norms()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 16_384, 599_999])
def test_one_wild_value_is_found(value: float, place: int) -> None:
    vectors = torch.zeros(2, 600_000)
    assert is_finite(vectors)
    vectors[1, place] = value
    assert not is_finite(vectors)


def test_wild_values_that_cancel_are_found_and_large_ones_are_not_wild() -> None:
    assert not is_finite(torch.tensor([[math.inf, -math.inf]]))
    assert is_finite(torch.full((3, 100), 3e38))  # their sum is beyond the range
    assert is_finite(torch.full((3, 100), 6e4, dtype=torch.float16))


@pytest.mark.parametrize(
    "name",
    ["mean", "krum", "geometric-median", "caf", "minimum-diameter", "median", "trimmed-mean"],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rules_that_look_on_their_way_refuse_what_the_others_do(name: str, value: float) -> None:
    vectors = make_vectors(7, 30)
    vectors[6, 29] = value
    rule = robust.create(name, byzantine_count=1)
    assert rule.finds_wild_values
    for arguments in ({}, {"own": vectors[0]}, {"gram": torch.eye(7)}, {"weights": [1] * 6 + [0]}):
        with pytest.raises(robust.InputError, match="vectors: NaN or infinity"):
            rule(vectors, **arguments)
    with pytest.raises(robust.InputError, match="own: NaN or infinity"):
        rule(vectors[:6], own=vectors[6])


def test_equal_shares_sum_first_and_do_not_overflow() -> None:
    vectors = torch.tensor([[3e38, 1.0], [3e38, 2.0], [-3e38, 6.0]])
    # (3e38 + 3e38) is beyond the range, a third of each is not.
    result = combine(vectors, [1 / 3] * 3, [0, 1, 2])
    torch.testing.assert_close(result, torch.tensor([1e38, 3.0]))
    apart = combine(vectors, [0.25, 0.5, 0.25], [0, 1, 2])
    torch.testing.assert_close(apart, torch.tensor([1.5e38, 2.75]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shares", [[0.25] * 4, [0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0]])
@pytest.mark.parametrize("has_center", [True, False])
def test_sums_are_those_of_float64_rounded_once(
    dtype: torch.dtype, shares: list[float], has_center: bool
) -> None:
    vectors = make_vectors(4, 50_000).to(dtype)
    before = vectors.clone()
    center = make_vectors(1, 50_000, seed=1)[0].to(dtype) if has_center else None
    result = combine(vectors, shares, [2, 0, 3, 1], center=center, center_share=0.5)
    start = torch.zeros(50_000).double() if center is None else center.double()
    weights = torch.tensor(shares, dtype=torch.float64)
    exact = (0.5 * start if has_center else 0.0) + weights @ (vectors.double() - start)
    assert result.dtype == dtype
    scale = float(exact.abs().max())
    assert (
        float((result.double() - exact).abs().max())
        <= scale * (torch.finfo(dtype).eps / 2 + 1e-6 * (dtype != torch.float64)) + 1e-14
    )
    assert torch.equal(vectors, before)


def test_no_row_with_a_share_leaves_the_center() -> None:
    vectors = make_vectors(3, 20)
    result = combine(vectors, [0.0] * 3, [0, 1, 2], center=vectors[1])
    assert torch.equal(result, vectors[1])
    assert result.data_ptr() != vectors[1].data_ptr()
    assert combine(vectors, [0.0] * 3, [0, 1, 2]).tolist() == [0.0] * 20
