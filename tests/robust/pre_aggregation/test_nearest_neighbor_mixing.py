"""Nearest-neighbor mixing: who is near, what ties do, what liars gain, and how much memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import robust
from robust import blocks

# Each example runs a rule on a few rows; a quarter of the usual number shows as much.
SOME = settings(max_examples=max(1, settings().max_examples // 4))


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_each_row_becomes_the_mean_of_its_nearest() -> None:
    # f = 1 of 4, on a line: 0, 1, 3 and 10. The three nearest to 0, to 1 and to 3 are 0, 1, 3, mean
    # 4/3; to 10 they are 10, 3, 1, mean 14/3. Median: 4/3. Mean: (3 * 4/3 + 14/3) / 4 = 13/6.
    vectors = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    median = robust.create("nnm+median", byzantine_count=1)
    assert median(vectors).tolist() == pytest.approx([4 / 3])
    mean = robust.create("nnm+mean", byzantine_count=1).aggregate(vectors)
    assert mean.vector.tolist() == pytest.approx([13 / 6])
    # 0 is in three of four means and 10 in one, with a third each.
    assert mean.coefficients.tolist() == pytest.approx([3 / 12, 4 / 12, 4 / 12, 1 / 12])


def test_coefficients_are_those_of_the_rows_that_were_mixed() -> None:
    # As above; the trimmed mean drops one 4/3 and the 14/3 and keeps two of three equal rows, each
    # of which is a third of 0, of 1 and of 3.
    vectors = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    result = robust.create("nnm+trimmed-mean", byzantine_count=1).aggregate(vectors)
    assert result.vector.tolist() == pytest.approx([4 / 3])
    assert result.coefficients.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


def test_rows_equally_far_at_the_edge_share_what_is_left() -> None:
    # f = 1 of 3: 0 has -1 and 1 at the same distance, and half of each: (0 - 1/2 + 1/2) / 2 = 0.
    # 1 has 0, mean 1/2; -1 has 0, mean -1/2. In these means, 0 has a half each, and 1 has a quarter
    # in the first and a half in its own; over three means, 1/2 and 1/4.
    vectors = torch.tensor([[0.0], [1.0], [-1.0]])
    result = robust.create("nnm+mean", byzantine_count=1).aggregate(vectors)
    assert result.vector.tolist() == pytest.approx([0.0])
    assert result.coefficients.tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 4])


@pytest.mark.parametrize("unit", [2.0**-30, 1.0, 2.0**30])
def test_rows_are_equally_far_up_to_rounding_in_any_unit(unit: float) -> None:
    mean = robust.create("nnm+mean", byzantine_count=1)
    # As above, but for two units in the last place.
    alike = torch.tensor([[0.0], [1.0], [-1.0 - 2.0**-51]], dtype=torch.float64) * unit
    assert mean.aggregate(alike).coefficients.tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 4])
    # 0 has only the nearer one.
    apart = torch.tensor([[0.0], [1.0], [-1.001]], dtype=torch.float64) * unit
    assert mean.aggregate(apart).coefficients.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_apart_by_a_hundred_units_of_rounding_are_not_equally_far(dtype: torch.dtype) -> None:
    farther = 1.0 + 100.0 * torch.finfo(dtype).eps
    vectors = torch.tensor([[0.0], [1.0], [-farther]], dtype=dtype)
    result = robust.create("nnm+mean", byzantine_count=1).aggregate(vectors)
    assert result.coefficients.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 6])


def test_copies_count_alike() -> None:
    vectors = make_vectors(9, 50)
    vectors[[5, 8]] = vectors[2].clone()
    shares = robust.create("nnm+mean", byzantine_count=4).aggregate(vectors).coefficients
    torch.testing.assert_close(shares[[2, 5, 8]], shares[2].expand(3))


def test_without_liars_every_row_becomes_the_mean() -> None:
    vectors = make_vectors(7, 30)
    result = robust.create("nnm+median", byzantine_count=0)(vectors)
    torch.testing.assert_close(result, vectors.mean(dim=0))


def test_rows_at_one_point_stay_there() -> None:
    vectors = make_vectors(1, 30).expand(8, 30)
    result = robust.create("nnm+nnm+mean", byzantine_count=3)(vectors)
    torch.testing.assert_close(result, vectors[0])


def test_a_lying_half_is_refused() -> None:
    rule = robust.create("nnm+mean", byzantine_count=2)
    with pytest.raises(robust.InfeasibleError, match=r"NearestNeighborMixing.*=2 needs 5 rows"):
        rule(make_vectors(4, 3))


def test_neighbors_are_those_of_the_gram_matrix() -> None:
    # By the vectors, 0 and 1 are close and 10 is far. By what they stand for, 0, 9 and 10, it is
    # the first that is far: 0 -> {0, 1}, 1 -> {1, 10}, 10 -> {10, 1}; f = 1 of 3.
    vectors = torch.tensor([[0.0], [1.0], [10.0]])
    meant = torch.tensor([[0.0], [9.0], [10.0]])
    rule = robust.create("nnm+mean", byzantine_count=1)
    assert rule(vectors).tolist() == pytest.approx([(0.5 + 0.5 + 5.5) / 3])
    assert rule(vectors, gram=meant @ meant.T).tolist() == pytest.approx([(0.5 + 5.5 + 5.5) / 3])


def squared_error(name: str, vectors: Tensor, liars: int) -> tuple[float, float]:
    """Return how far the result is from the honest mean, and the honest variance, squared."""
    honest = vectors[: len(vectors) - liars]
    center = honest.mean(dim=0)
    result = robust.create(name, byzantine_count=liars)(vectors)
    return (
        float((result - center).square().sum()),
        float((honest - center).square().sum(dim=1).mean()),
    )


def with_lies(n: int, liars: int, seed: int, exponent: float) -> Tensor:
    vectors = make_vectors(n, 8, seed).double()
    vectors[n - liars :] = 10.0**exponent * vectors[-1] / vectors[-1].norm()
    return vectors


# For trimmed means, kappa = 6 r (1 + r) with r = f / (n - 2 f); behind mixing,
# 8 f / (n - f) (kappa + 1). Allouah et al. 2023, table 1 and lemma 1.
@SOME
@given(
    n=st.integers(3, 25),
    seed=st.integers(0, 2**32),
    exponent=st.floats(-1.0, 9.0),
    data=st.data(),
)
def test_liars_move_the_result_by_no_more_than_is_proven(
    n: int, seed: int, exponent: float, data: st.DataObject
) -> None:
    liars = data.draw(st.integers(1, (n - 1) // 2))
    vectors = with_lies(n, liars, seed, exponent)
    ratio = liars / (n - 2 * liars)
    kappa = 8 * liars / (n - liars) * (6 * ratio * (1 + ratio) + 1)
    error, variance = squared_error("nnm+trimmed-mean", vectors, liars)
    assert error <= 1.01 * kappa * variance


def test_liars_move_the_mean_behind_it_anywhere() -> None:
    error, variance = squared_error("nnm+mean", with_lies(10, 3, 0, 9.0), 3)
    assert error > 1e9 * variance


class LargestNewTensor(TorchDispatchMode):
    """Remembers the most elements of a tensor that was not there before."""

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.known_address = known.untyped_storage().data_ptr()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if storage.data_ptr() != self.known_address:
                    self.elements = max(self.elements, storage.nbytes() // value.element_size())
        return result


@pytest.mark.parametrize("name", ["nnm+trimmed-mean", "nnm+sign-majority"])
def test_coordinate_wise_rules_behind_it_never_have_all_mixed_rows_in_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK_COLUMNS", 128)  # so that a few columns are many blocks
    vectors = make_vectors(20, 32_000)
    rule = robust.create(name, byzantine_count=4)
    with LargestNewTensor(vectors) as largest:
        rule(vectors)
    assert 20 * 128 <= largest.elements <= vectors.numel() / 4
    with LargestNewTensor(vectors) as control:
        torch.eye(20) @ vectors
    assert control.elements == vectors.numel()
