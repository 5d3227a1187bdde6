"""What no rule should see moves nothing, and does not lower the number of liars allowed for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust import Row
from tests.robust_cases import FEW, Case, cases
from tests.robust_rules import Known, every

pytestmark = pytest.mark.slow


def malformed(case: Case) -> list[Row]:
    """Make one row of each kind that is turned away."""
    d = case.dimension
    like_own = {"dtype": case.vectors.dtype}
    wild = case.own.clone()
    wild[-1] = math.nan
    infinite = case.own.clone()
    infinite[0] = -math.inf
    vectors: list[Tensor] = [
        wild,
        infinite,
        torch.zeros(d + 1, **like_own),
        torch.zeros(d, dtype=torch.float16),
        torch.zeros(d, dtype=torch.int64),
        torch.zeros(1, d, **like_own),
    ]
    rows = [Row(f"liar {number}", vector, 0.01) for number, vector in enumerate(vectors)]
    return [*rows, Row("twice", case.own.clone(), 0.01), Row("twice", case.own.clone(), 0.01)]


def sound(case: Case) -> list[Row]:
    share = 0.9 / case.row_count
    return [
        Row(key, vector, share) for key, vector in zip(case.keys[1:], case.vectors[1:], strict=True)
    ]


@pytest.mark.parametrize("known", every())
@FEW
@given(data=st.data())
def test_malformed_rows_change_nothing_for_a_rule_of_given_f(
    known: Known, data: st.DataObject
) -> None:
    # Its sound rows are of like length, so that the norm cap turns away none of them.
    case = data.draw(cases(known, grid=False))
    case = case.with_rows(case.vectors / case.vectors.norm(dim=1, keepdim=True).clamp_min(1e-9))
    integrator = robust.Integrator(known.make(case))
    alone = integrator.integrate(case.own, sound(case))
    too_long = Row("too long", torch.full_like(case.own, 1e6), 0.01)
    rows = [*malformed(case), too_long, *sound(case)]
    crowd = integrator.integrate(case.own, rows)
    assert torch.equal(crowd.vector, alone.vector)
    assert crowd.byzantine_count == alone.byzantine_count
    assert crowd.kept_own == alone.kept_own
    weights = {verdict.peer: verdict.weight for verdict in crowd.verdicts}
    assert {peer: weights[peer] for peer in case.keys[1:]} == {
        verdict.peer: verdict.weight for verdict in alone.verdicts
    }
    rejected = [it for it in crowd.verdicts if it.peer not in case.keys]
    assert len(rejected) == 8
    assert all(it.weight == 0.0 and it.reason != robust.Reason.ACCEPTED for it in rejected)


@given(data=st.data(), bad_count=st.integers(0, 8))
@FEW
def test_malformed_rows_lower_f_only_to_what_the_rows_left_bear(
    data: st.DataObject, bad_count: int
) -> None:
    known = Known(name="trimmed-mean", has=frozenset())
    case = data.draw(cases(known, rows_min=20))
    vectors = case.vectors.clone()
    vectors[1 : 1 + bad_count] = math.nan
    rows = [Row(key, row) for key, row in zip(case.keys[1:], vectors[1:], strict=True)]
    result = robust.Integrator("trimmed-mean", norm_cap_ratio=None).integrate(case.own, rows)
    left_count = case.row_count - 1 - bad_count
    expected = min(robust.byzantine_count(case.row_count), left_count // 2)
    assert result.byzantine_count == expected


@pytest.mark.parametrize("known", every())
def test_own_is_kept_where_every_row_is_malformed(known: Known) -> None:
    case = known.example(5, 3, byzantine_count=1)
    result = robust.Integrator(known.make(case)).integrate(case.own, malformed(case))
    assert torch.equal(result.vector, case.own)
    assert result.kept_own
    assert result.own_weight == 1.0
    assert result.note
