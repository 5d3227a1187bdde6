"""Lengths and distances: exact enough where the textbook formulas are not."""

import pytest
import torch
from torch import Tensor

from robust.errors import InfeasibleError
from robust.geometry import Geometry, measure


def make_vectors(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def exact_squared_distances(vectors: Tensor) -> Tensor:
    wide = vectors.double()
    return (wide[:, None] - wide[None]).square().sum(dim=2)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e2, 1e3])
def test_distances_survive_a_common_offset(offset: float) -> None:
    vectors = make_vectors(20, 2_000) * 1e-2 + offset
    found = measure(vectors, vectors[3]).squared_distances()
    torch.testing.assert_close(found, exact_squared_distances(vectors), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("has_own", [True, False])
def test_one_row_far_away_takes_no_digits_from_the_others(has_own: bool) -> None:
    vectors = make_vectors(20, 500) * 1e-2 + 10.0
    vectors[-1] = 1e6
    found = measure(vectors, vectors[0] if has_own else None).squared_distances()
    exact = exact_squared_distances(vectors)
    torch.testing.assert_close(found[:-1, :-1], exact[:-1, :-1], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found[-1], exact[-1], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("scale", [1e30, 3e38, 1e-30])
def test_squares_beyond_float32_are_measured(scale: float) -> None:
    directions = make_vectors(6, 50).sign()
    vectors = directions * torch.tensor([scale] * 3 + [scale / 2] * 3)[:, None]
    found = measure(vectors, vectors[0]).squared_distances()
    torch.testing.assert_close(found, exact_squared_distances(vectors), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("short", [0.0, 1e-30])
def test_a_row_much_shorter_than_the_center_is_measured(short: float) -> None:
    # Divided by its own length, the center that it is measured from would be beyond the range.
    vectors = make_vectors(5, 50).sign() * 3e38
    vectors[4] *= short / 3e38
    found = measure(vectors, vectors[0]).squared_distances()
    torch.testing.assert_close(found, exact_squared_distances(vectors), rtol=1e-5, atol=0.0)


def test_squares_beyond_float64_are_infeasible() -> None:
    with pytest.raises(InfeasibleError, match="beyond the range"):
        measure(torch.tensor([[1e300], [-1e300]], dtype=torch.float64), None)


@pytest.mark.parametrize(("units", "is_equal"), [(33, True), (1_000, False)])
def test_rows_with_equal_products_up_to_rounding_are_equal(units: int, *, is_equal: bool) -> None:
    products = torch.ones(2, 2, dtype=torch.float64)
    products[1, 1] += units * torch.finfo(torch.float64).eps
    rows = torch.eye(2, dtype=torch.float64)
    geometry = Geometry(products=products, rows=rows, own=None, has_origin=False)
    assert (float(geometry.squared_distances()[0, 1]) == 0.0) is is_equal


@pytest.mark.parametrize("n", [9, 17, 20])
def test_equal_rows_are_at_no_distance_wherever_they_stand(n: int) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(n, 2_000, generator=generator, dtype=torch.float64)
    vectors[n - 1] = vectors[1]
    distances = measure(vectors, vectors[0], has_origin=False).squared_distances()
    assert float(distances[1, n - 1]) == 0.0
    assert float(distances[1, 2]) > 1.0


def test_mixed_rows_are_measured_as_if_they_were_made() -> None:
    vectors = make_vectors(6, 40)
    own = vectors[1]
    mixing = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = (mixing @ vectors.double()).float()
    mixed = measure(vectors, own).mixed(mixing)
    made = measure(rows, own)
    for name in ("gram", "squared_distances", "squared_distances_to_own", "squared_norms"):
        torch.testing.assert_close(
            getattr(mixed, name)(), getattr(made, name)(), rtol=1e-4, atol=1e-4
        )
    torch.testing.assert_close(
        mixed.products_with_own(), made.products_with_own(), rtol=1e-4, atol=1e-4
    )
    assert mixed.squared_norm_of_own() == pytest.approx(
        float(own.double() @ own.double()), rel=1e-5
    )


@pytest.mark.parametrize("has_origin", [True, False])
def test_rows_as_they_are_and_as_mixtures_are_as_far_apart(has_origin: bool) -> None:
    vectors = make_vectors(9, 40) * 1e-2 + 3.0
    found = measure(vectors, vectors[4], [7, 1, 4, 0, 8, 2, 6, 3, 5], has_origin=has_origin)
    mixed = found.mixed(torch.eye(9, dtype=torch.float64))
    assert torch.equal(found.squared_distances(), mixed.squared_distances())
    for row in range(9):
        assert torch.equal(found.gram_about_row(row), mixed.gram_about_row(row))
