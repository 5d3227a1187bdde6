"""Rows that are bit for bit alike are one voice together, and nobody is turned away for it."""

import pytest
import torch
from torch import Tensor

import robust
from robust import Integration, Reason, Row

HONEST = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))  # the own row first
LIE = torch.full((6,), 2.0)


def integrate(vectors: list[Tensor], rule: str = "mean", **options: object) -> Integration:
    rows = [Row(f"peer {number}", vector.clone()) for number, vector in enumerate(vectors)]
    return robust.Integrator(rule, norm_cap_ratio=None).integrate(HONEST[0], rows, **options)


def weights(found: Integration) -> list[float]:
    return [verdict.weight for verdict in found.verdicts]


@pytest.mark.parametrize("copies", [2, 3, 6])
def test_copies_have_together_the_share_of_one(copies: int) -> None:
    found = integrate([*HONEST[1:], *[LIE] * copies])
    voice = 1.0 / (4 + copies)
    assert weights(found) == pytest.approx([voice] * 3 + [voice / copies] * copies)
    assert found.own_weight == pytest.approx(1.0 - 4 * voice)
    expected = HONEST[0] + voice * (HONEST[1:].sum(dim=0) + LIE - 4 * HONEST[0])
    torch.testing.assert_close(found.vector, expected)
    assert {verdict.reason for verdict in found.verdicts} == {Reason.ACCEPTED}


@pytest.mark.parametrize("rule", ["krum", "median", "nnm+trimmed-mean", "geometric-median"])
def test_more_copies_than_f_do_not_take_the_result_with_them(rule: str) -> None:
    # Krum and its like choose rows that are close together, as copies are.
    copied = integrate([*HONEST[1:], *[LIE] * 7], rule)
    way = float((copied.vector - HONEST[0]).norm() / (LIE - HONEST[0]).norm())
    assert way < 0.2
    near = [LIE + 1e-6 * number for number in range(7)]  # what f is for, and is not enough for
    assert float((integrate([*HONEST[1:], *near], rule).vector - LIE).norm()) < 2.0


def test_rows_that_differ_in_the_last_bit_are_two_voices() -> None:
    other = LIE.clone()
    other[0] = torch.nextafter(other[0], torch.tensor(3.0))
    assert weights(integrate([LIE, other])) == pytest.approx([1 / 3] * 2)


def test_rows_of_one_length_are_not_copies() -> None:
    assert weights(integrate([LIE, -LIE])) == pytest.approx([1 / 3] * 2)


def test_rows_equal_to_the_own_one_keep_their_shares() -> None:
    found = integrate([HONEST[0]] * 3 + [LIE])
    assert weights(found) == pytest.approx([1 / 5] * 4)


def test_a_fresh_network_stays_where_it_is() -> None:
    found = integrate([HONEST[0]] * 6, "nnm+trimmed-mean", genesis=HONEST[0])
    assert torch.equal(found.vector, HONEST[0])
    assert not found.kept_own


@pytest.mark.parametrize("rule", ["mean", "median", "nnm+trimmed-mean", "self-centered-clipping"])
def test_the_first_to_learn_loses_little_to_those_who_have_not(rule: str) -> None:
    genesis = torch.zeros(6)
    found = integrate([genesis] * 6, rule, genesis=genesis)
    assert float(found.vector.norm()) >= 0.8 * float(HONEST[0].norm())
    assert all(verdict.reason is Reason.ACCEPTED for verdict in found.verdicts)


def test_who_is_copied_and_who_copies_share_what_the_copied_had() -> None:
    alone = integrate([HONEST[1], HONEST[2], HONEST[3]])
    copied = integrate([HONEST[1], HONEST[2], HONEST[3], HONEST[3], HONEST[3]])
    assert weights(alone)[2] == pytest.approx(1 / 4)
    assert sum(weights(copied)[2:]) == pytest.approx(1 / 6)


def test_who_has_no_mass_takes_none_from_whom_it_copies() -> None:
    found = integrate([HONEST[1], HONEST[1]], mass_caps={"peer 1": 0.0})
    assert weights(found) == [pytest.approx(1 / 3), 0.0]


def test_copies_have_at_most_the_largest_weight_that_one_of_them_may_have() -> None:
    rows = [Row("a", LIE, 0.5), Row("b", LIE.clone(), 0.3), Row("c", HONEST[1], 0.1)]
    found = robust.Integrator("mean", norm_cap_ratio=None).integrate(HONEST[0], rows)
    assert 0.4 < sum(weights(found)[:2]) <= 0.5
    caps = {"a": 0.4, "b": 0.02}
    capped = robust.Integrator("mean", norm_cap_ratio=None).integrate(
        HONEST[0], rows, mass_caps=caps
    )
    assert sum(weights(capped)[:2]) <= 0.4
