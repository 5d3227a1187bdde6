"""Lengths and distances to own, where they come from and which digits they have."""

import math

import pytest
import torch
from torch import Tensor

import robust
from robust.geometry import measure, measure_about_origin
from robust.inputs import Inputs, check_inputs
from robust.lengths import clip_ratio, distances_to_own, norm_of_own, norms
from robust.neighbors import find_equal_rows, find_own_rows, share_among_equals
from robust.pre_aggregation.step import mix


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def make_inputs(vectors: Tensor, own: Tensor | None = None, gram: Tensor | None = None) -> Inputs:
    return check_inputs(vectors, own=own, weights=None, keys=None, gram=gram)


@pytest.mark.parametrize("ratio", [1e-3, 1e-6, 1e-12, 1e-20])
def test_short_rows_keep_their_digits_about_the_origin(ratio: float) -> None:
    vectors = make_vectors(5, 300)
    vectors[1] = (vectors[0] + vectors[1]) * ratio
    exact = vectors.double() @ vectors.double().T
    found = measure_about_origin(vectors, vectors[0])
    torch.testing.assert_close(found.gram(), exact, rtol=1e-4, atol=0.0)
    torch.testing.assert_close(found.products_with_own(), exact[0], rtol=1e-4, atol=0.0)
    assert found.squared_norm_of_own() == pytest.approx(float(exact[0, 0]), rel=1e-6)


def test_short_rows_lose_their_digits_about_own() -> None:
    vectors = make_vectors(2, 300)
    vectors[1] *= 1e-6
    found = float(measure(vectors, vectors[0]).squared_norms()[1])
    assert found != pytest.approx(float(vectors[1].double().square().sum()), rel=0.5)


@pytest.mark.parametrize("magnitude", [1e-30, 1e30, 3e38])
def test_squares_out_of_range_are_measured_about_the_origin(magnitude: float) -> None:
    vectors = make_vectors(4, 50).sign() * magnitude
    exact = vectors.double() @ vectors.double().T
    found = measure_about_origin(vectors, None).gram()
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("n", [3, 5, 7, 20])
def test_products_are_those_of_the_order_that_is_asked_for(n: int) -> None:
    vectors, own = make_vectors(n, 257, n), make_vectors(1, 257, 99)[0]
    keys = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    shuffled = vectors[keys]
    for function in (measure, measure_about_origin):
        first = function(vectors, own, range(n))
        second = function(shuffled, own, keys.argsort().tolist())
        for name in ("squared_distances", "gram"):
            expected = getattr(first, name)()[keys][:, keys]
            assert torch.equal(getattr(second, name)(), expected)
        assert torch.equal(second.squared_norms(), first.squared_norms()[keys])
        assert torch.equal(
            second.squared_distances_to_own(), first.squared_distances_to_own()[keys]
        )


def test_equal_rows_are_equally_long_wherever_they_begin() -> None:
    # 257 numbers a row: no two rows begin at the same place in a line of the cache.
    vectors = make_vectors(1, 257).repeat(16, 1)
    assert len(set(norms(make_inputs(vectors)))) == 1
    assert len(set(distances_to_own(make_inputs(vectors, torch.ones(257))))) == 1


def test_lengths_are_the_same_by_every_way() -> None:
    vectors = make_vectors(6, 40)
    own = vectors[2]
    exact = vectors.double().norm(dim=1).tolist()
    to_own = (vectors.double() - own.double()).norm(dim=1).tolist()
    plain = make_inputs(vectors, own)
    by_gram = make_inputs(vectors, own, vectors @ vectors.T)
    mixed = mix(plain, torch.eye(6, dtype=torch.float64))
    for inputs in (plain, by_gram, mixed):
        assert norms(inputs) == pytest.approx(exact, rel=1e-5)
        assert distances_to_own(inputs) == pytest.approx(to_own, rel=1e-4, abs=1e-2)
        assert norm_of_own(inputs) == pytest.approx(exact[2], rel=1e-5)


def test_lengths_need_no_own_and_distances_do() -> None:
    vectors = make_vectors(3, 4)
    stranger = make_inputs(vectors, torch.ones(4), torch.eye(3))
    assert norms(stranger) == pytest.approx([1.0] * 3)
    with pytest.raises(robust.InputError, match="own is not among them"):
        norm_of_own(stranger)
    with pytest.raises(robust.InputError, match="own="):
        distances_to_own(make_inputs(vectors))


def test_ratios_of_clipping() -> None:
    assert clip_ratio(4.0, 1.0) == 0.25
    assert clip_ratio(1.0, 4.0) == 1.0
    assert clip_ratio(0.0, 0.0) == 1.0
    assert clip_ratio(1.0, 0.0) == 0.0
    assert clip_ratio(math.inf, 1.0) == 0.0
    assert clip_ratio(math.inf, math.inf) == 0.0


def test_equal_rows_are_found_among_others_at_the_same_distance() -> None:
    # About 0, the rows 1, -1 and 1 are equally far, and two of them equal.
    vectors = torch.tensor([[1.0], [-1.0], [1.0], [0.0], [2.0], [0.0]])
    inputs = make_inputs(vectors, torch.tensor([0.0]))
    assert sorted(find_equal_rows(inputs, vectors.abs()[:, 0].tolist())) == [[0, 2], [3, 5]]
    assert find_own_rows(inputs) == [3, 5]
    mixing = torch.eye(6, dtype=torch.float64)
    assert find_equal_rows(mix(inputs, mixing), [0.0] * 6) == []
    assert find_own_rows(mix(inputs, mixing)) == [3, 5]
    # Own with a copy of own is own, and with anything else, or half of it, it is not.
    mixing[3, 3] = mixing[3, 5] = 0.5
    assert find_own_rows(mix(inputs, mixing)) == [3, 5]
    mixing[3, 4] = 1e-9
    mixing[5, 5] = 0.5
    assert find_own_rows(mix(inputs, mixing)) == []


def test_equal_rows_share() -> None:
    assert share_among_equals([0.5, 0.25, 0.0, 0.25], [0, 2]) == (0.25, 0.25, 0.25, 0.25)
    assert share_among_equals([0.5, 0.5], []) == (0.5, 0.5)
