"""Where the result can lie: among the rows, and in the honest range of each coordinate."""

from collections.abc import Iterable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.robust_cases import FEW, Case, attacks, cases, draw_some
from tests.robust_rules import Known, Property, assert_lacking, having, lacking

pytestmark = pytest.mark.slow


def check_average(known: Known, case: Case) -> None:
    result = known.make(case).aggregate(case.vectors, own=case.own, keys=case.keys)
    combined = result.coefficients @ case.vectors + result.own_coefficient * case.own
    torch.testing.assert_close(result.vector, combined, rtol=1e-6, atol=1e-9)
    assert float(result.coefficients.min()) >= -1e-12
    assert result.own_coefficient >= -1e-12
    total = float(result.coefficients.sum()) + result.own_coefficient
    assert total == pytest.approx(1.0, abs=1e-9)


def trials(case: Case) -> Iterator[tuple[str, Case]]:
    yield from attacks(case)
    for exponent in (3, 30):
        yield f"far {exponent}", case.with_far_lies(exponent)


def check_range(known: Known, case: Case) -> None:
    check_range_under(known, case, trials(case))


def check_range_under(known: Known, case: Case, tried: Iterable[tuple[str, Case]]) -> None:
    low, high = case.honest.aminmax(dim=0)
    rounding = 1e-12 * (1 + low.abs() + high.abs())
    for name, attacked in tried:
        low, high = attacked.honest.aminmax(dim=0)
        result = known.apply(attacked)
        assert bool((result >= low - rounding).all()), name
        assert bool((result <= high + rounding).all()), name


@pytest.mark.parametrize("known", having(Property.CONVEX))
@FEW
@given(data=st.data())
def test_result_is_an_average_of_the_rows(known: Known, data: st.DataObject) -> None:
    check_average(known, data.draw(cases(known)))


@pytest.mark.parametrize("known", lacking(Property.CONVEX))
def test_result_is_no_average_of_the_rows(known: Known) -> None:
    assert_lacking(check_average, known)


@pytest.mark.parametrize("known", having(Property.BOX))
@FEW
@given(data=st.data())
def test_coordinates_stay_in_the_honest_range(known: Known, data: st.DataObject) -> None:
    case = data.draw(cases(known))
    check_range_under(known, case, draw_some(data, trials(case)))


@pytest.mark.parametrize("known", lacking(Property.BOX))
def test_coordinates_leave_the_honest_range(known: Known) -> None:
    assert_lacking(check_range, known)
