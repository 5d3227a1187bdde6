"""Rows in another order, place, unit or orientation give the same result there."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.robust_cases import FEW, Case, cases
from tests.robust_rules import Known, Property, assert_lacking, every, having, lacking

pytestmark = pytest.mark.slow


def check_order(known: Known, case: Case) -> None:
    order = torch.randperm(case.row_count, generator=case.generator(7)).tolist()
    rule, keys, weights = known.make(case), case.keys, case.weights()
    first = rule.aggregate(case.vectors, own=case.own, weights=weights, keys=keys)
    second = rule.aggregate(
        case.vectors[order],
        own=case.own,
        weights=weights[order],
        keys=[keys[row] for row in order],
    )
    assert torch.equal(first.vector, second.vector)
    torch.testing.assert_close(first.coefficients[order], second.coefficients)


def check_origin(known: Known, case: Case) -> None:
    moved = case.moved()
    shift = moved.vectors[0] - case.vectors[0]
    torch.testing.assert_close(known.apply(moved), known.apply(case) + shift, rtol=1e-6, atol=1e-8)


def check_unit(known: Known, case: Case) -> None:
    exponent = int(torch.randint(-20, 20, (1,), generator=case.generator(8)))
    scaled = case.scaled(exponent)
    torch.testing.assert_close(known.apply(scaled) / scaled.unit, known.apply(case))


def check_unit_with_fixed_lengths(known: Known, case: Case) -> None:
    scaled = replace(case.scaled(4), unit=case.unit)  # the rule is not told
    torch.testing.assert_close(known.apply(scaled) / 16.0, known.apply(case))


def check_axes(known: Known, case: Case) -> None:
    turned, rotation = case.turned()
    torch.testing.assert_close(
        known.apply(turned), rotation @ known.apply(case), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("known", every())
@FEW
@given(data=st.data())
def test_order_of_rows_does_not_matter_to_the_last_bit(known: Known, data: st.DataObject) -> None:
    check_order(known, data.draw(cases(known, dtype=torch.float32)))


@pytest.mark.parametrize("known", every())
def test_signs_of_zeros_do_not_depend_on_the_order_of_rows(known: Known) -> None:
    values = torch.tensor([-1.0, -0.0, -0.0, 0.0, 0.0, 1.0])
    for seed in range(5):
        case = known.example(6, 40, byzantine_count=1, seed=seed, dtype=torch.float32)
        places = torch.randint(len(values), case.vectors.shape, generator=case.generator(6))
        case = case.with_rows(values[places])
        rule, order = known.make(case), range(5, -1, -1)
        first = rule(case.vectors, own=case.own, keys=case.keys)
        second = rule(case.vectors.flip(0), own=case.own, keys=[case.keys[row] for row in order])
        assert torch.equal(first, second)
        assert torch.equal(first.signbit(), second.signbit())


@pytest.mark.parametrize("known", having(Property.EQUALS))  # what draws rows draws by their keys
@FEW
@given(data=st.data())
def test_order_of_rows_without_keys_is_only_rounding(known: Known, data: st.DataObject) -> None:
    case = data.draw(cases(known, dtype=torch.float32, grid=False))
    assume(known.is_unique or case.dimension > 1)
    order = torch.randperm(case.row_count, generator=case.generator(7)).tolist()
    rule = known.make(case)
    torch.testing.assert_close(
        rule(case.vectors[order], own=case.own), rule(case.vectors, own=case.own)
    )


@pytest.mark.parametrize("known", having(Property.MOVES))
@FEW
@given(data=st.data())
def test_result_moves_with_the_origin(known: Known, data: st.DataObject) -> None:
    check_origin(known, data.draw(cases(known)))


@pytest.mark.parametrize("known", lacking(Property.MOVES))
def test_result_depends_on_the_origin(known: Known) -> None:
    assert_lacking(check_origin, known)


@pytest.mark.parametrize("known", having(Property.SCALES))
@FEW
@given(data=st.data())
def test_result_scales_with_the_unit(known: Known, data: st.DataObject) -> None:
    check_unit(known, data.draw(cases(known)))


@pytest.mark.parametrize("known", [it for it in every() if it.values[0].lengths])
def test_result_depends_on_the_unit_of_given_lengths(known: Known) -> None:
    assert_lacking(check_unit_with_fixed_lengths, known)


@pytest.mark.parametrize("known", having(Property.TURNS))
@FEW
@given(data=st.data())
def test_result_turns_with_the_axes(known: Known, data: st.DataObject) -> None:
    check_axes(known, data.draw(cases(known)))


@pytest.mark.parametrize("known", lacking(Property.TURNS))
def test_result_depends_on_the_axes(known: Known) -> None:
    assert_lacking(check_axes, known)
