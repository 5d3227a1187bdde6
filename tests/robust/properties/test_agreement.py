"""What all rows agree on is kept, and where nobody lies some rules are the mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import robust
from tests.robust_cases import FEW, Case, cases
from tests.robust_rules import (
    Known,
    Property,
    assert_lacking,
    assert_refusing,
    having,
    lacking,
    refusing,
)

pytestmark = pytest.mark.slow


def check_agreement(known: Known, case: Case) -> None:
    agreed = case.with_rows(case.vectors[:1].expand_as(case.vectors))
    # A rounding for each row that is added.
    rounding = case.row_count * torch.finfo(case.vectors.dtype).eps
    torch.testing.assert_close(known.apply(agreed), case.own, rtol=rounding, atol=rounding)


def check_mean(known: Known, case: Case) -> None:
    result = known.apply(case, byzantine_count=0)
    torch.testing.assert_close(result, case.vectors.mean(dim=0), rtol=1e-6, atol=1e-8)


def check_copies(known: Known, case: Case) -> None:
    copies = [1, 3, 4]
    for scale in (1.0, 8.0):  # among the others, and so far away that some are left out
        vectors = case.vectors.clone()
        vectors[copies] = vectors[1] * scale
        check_shares(known, case.with_rows(vectors), copies)
    if Property.AGREES in known.has:
        agreed = case.with_rows(case.vectors[:1].expand_as(case.vectors))
        check_shares(known, agreed, list(range(case.row_count)))


def check_shares(known: Known, case: Case, copies: list[int]) -> None:
    result = known.make(case).aggregate(case.vectors, own=case.own, keys=case.keys)
    shares = result.coefficients[copies]
    torch.testing.assert_close(shares, shares[:1].expand_as(shares), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("known", having(Property.AGREES))
@FEW
@given(data=st.data())
def test_result_is_what_all_agree_on(known: Known, data: st.DataObject) -> None:
    check_agreement(known, data.draw(cases(known, dtype=torch.float32)))


@pytest.mark.parametrize("known", lacking(Property.AGREES))
def test_result_is_not_what_all_agree_on(known: Known) -> None:
    assert_lacking(check_agreement, known)


@pytest.mark.parametrize("known", refusing(Property.AGREES))
def test_what_all_agree_on_is_refused(known: Known) -> None:
    assert_refusing(check_agreement, known)


@pytest.mark.parametrize("known", having(Property.AVERAGES))
@FEW
@given(data=st.data())
def test_result_is_the_mean_where_nobody_lies(known: Known, data: st.DataObject) -> None:
    check_mean(known, data.draw(cases(known)))


@pytest.mark.parametrize("known", lacking(Property.AVERAGES))
def test_result_is_not_the_mean(known: Known) -> None:
    assert_lacking(check_mean, known)


@pytest.mark.parametrize("known", having(Property.EQUALS))
@FEW
@given(data=st.data())
def test_equal_rows_count_alike(known: Known, data: st.DataObject) -> None:
    check_copies(known, data.draw(cases(known, rows_min=5)))


@pytest.mark.parametrize("known", lacking(Property.EQUALS))
def test_equal_rows_count_as_it_happens(known: Known) -> None:
    assert_lacking(check_copies, known)


@pytest.mark.parametrize("name", ["mean", "median", "trimmed-mean", "geometric-median"])
@FEW
@given(data=st.data())
def test_a_copy_of_the_result_changes_nothing(name: str, data: st.DataObject) -> None:
    known = Known(name=name, has=frozenset())
    case = data.draw(cases(known))
    rule = known.make(case)
    result = rule(case.vectors)
    again = rule(torch.cat([case.vectors, result[None]]))
    torch.testing.assert_close(again, result, rtol=1e-6, atol=1e-6)


def test_a_copy_of_the_result_may_change_others() -> None:
    # Half of own and half of the one neighbor: 1. With a copy, own / 2 + (2 + 1) / 4 = 0.75.
    vectors = torch.tensor([[0.0], [2.0]])
    rule = robust.create("ubar", evaluate=lambda _vector: [1.0], neighbor_share=1.0)
    assert rule(vectors, own=vectors[0]).tolist() == [1.0]
    assert rule(torch.tensor([[0.0], [2.0], [1.0]]), own=vectors[0]).tolist() == [0.75]
