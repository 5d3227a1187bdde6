"""Caps on what neighbors may count: how far they bind behind each rule, and no further."""

import pytest
import torch
from torch import Tensor

import robust
from robust import Integrator, Reason, Row
from robust.weights import pulls_under_caps
from tests.robust_caps import (
    AVERAGING,
    EXACT,
    KEPT,
    MIDDLE,
    NEIGHBORS,
    ROWS,
    RULES,
    TRIMMING,
    largest_part,
    score,
)

WEIGHT = 1 / (NEIGHBORS + 1)


def make_own_and_rows() -> tuple[Tensor, list[Row]]:
    generator = torch.Generator().manual_seed(0)
    own = torch.ones(40)
    rows = [own + 0.2 * torch.randn(40, generator=generator) for _ in range(NEIGHBORS)]
    return own, [Row(f"peer {index}", row) for index, row in enumerate(rows)]


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed-mean", "self-centered-clipping"])
def test_mass_cap_bounds_a_row_behind_any_rule(rule: str) -> None:
    own = torch.zeros(4)
    rows = [Row(f"peer {i}", torch.full((4,), 1.0)) for i in range(3)]
    free = Integrator(rule).integrate(own, rows)
    capped = Integrator(rule).integrate(own, rows, mass_caps={f"peer {i}": 0.05 for i in range(3)})
    banned = Integrator(rule).integrate(own, rows, mass_caps={f"peer {i}": 0.0 for i in range(3)})
    assert 0.0 < float(capped.vector[0]) <= 0.2 * float(free.vector[0]) + 1e-6
    assert torch.equal(banned.vector, own)
    assert {verdict.reason for verdict in banned.verdicts} == {Reason.NO_MASS}
    assert capped.own_weight + sum(v.weight for v in capped.verdicts) == pytest.approx(1.0)


@pytest.mark.parametrize("cap", [1.0, WEIGHT, WEIGHT * (1.0 - 1e-7)])
@pytest.mark.parametrize("rule", RULES)
def test_caps_that_bind_nobody_change_nothing(rule: str, cap: float) -> None:
    own, rows = make_own_and_rows()
    integrator = Integrator(rule, evaluate=score, seed=1)
    free = integrator.integrate(own, rows)
    capped = integrator.integrate(own, rows, mass_caps={row.peer: cap for row in rows})
    torch.testing.assert_close(capped.vector, free.vector)
    assert capped.own_weight == pytest.approx(free.own_weight, abs=1e-5)
    assert [it.weight for it in capped.verdicts] == pytest.approx(
        [it.weight for it in free.verdicts], abs=1e-5
    )


def test_row_of_little_weight_is_capped_behind_a_rule_that_weighs_rows_alike() -> None:
    # Its weight of 0.1 would allow half of a pull, which behind such a rule is 1/8 of four rows.
    assert pulls_under_caps([0.1, 0.4], [0.05, 0.2], row_count=4) == (0.2, 0.5)
    own = torch.zeros(4)
    rows = [Row(f"peer {i}", torch.ones(4), weight=0.1) for i in range(3)]
    caps = {row.peer: 0.05 for row in rows}
    rule = robust.create("trimmed-mean", byzantine_count=0)
    found = Integrator(rule).integrate(own, rows, mass_caps=caps)
    assert [it.weight for it in found.verdicts] == pytest.approx([0.05] * 3)


@pytest.mark.parametrize("rule", ["median", "krum", "nnm+trimmed-mean", "geometric-median"])
def test_many_rows_that_are_chosen_have_their_largest_pull_together(rule: str) -> None:
    # Eight of fifteen rows: no rule that chooses rows can tell that they are not the honest ones.
    own = torch.zeros(4)
    honest = [Row(f"honest {i}", torch.full((4,), 0.001 * i)) for i in range(6)]
    sybils = [Row(f"sybil {i}", torch.ones(4)) for i in range(8)]
    caps = {row.peer: 0.3 / 8 for row in sybils}
    found = Integrator(rule, norm_cap_ratio=None).integrate(own, honest + sybils, mass_caps=caps)
    pull = pulls_under_caps([1 / 15], [0.3 / 8], row_count=15)[0]
    assert pull == 0.5625
    assert 0.3 < float(found.vector.max()) <= pull + 1e-6
    mean = Integrator("mean", norm_cap_ratio=None).integrate(own, honest + sybils, mass_caps=caps)
    sybil_share = sum(it.weight for it in mean.verdicts if str(it.peer).startswith("sybil"))
    assert sybil_share == pytest.approx(0.3)


def test_mass_cap_out_of_range_is_refused() -> None:
    with pytest.raises(robust.InputError, match=r"mass_caps: 2\.0 of peer 'a'"):
        Integrator("mean").integrate(torch.ones(2), [], mass_caps={"a": 2.0})


@pytest.mark.parametrize("rule", ["mean", "nnm+trimmed-mean", "krum"])
@pytest.mark.parametrize("caps", [{}, {"peer 0": 0.05}, {"peer 0": 0.3, "peer 1": 0.02}])
def test_cap_of_a_neighbor_without_a_row_changes_nothing(rule: str, caps: dict[str, float]) -> None:
    own, rows = make_own_and_rows()
    integrator = Integrator(rule, observes=True)
    alone = integrator.integrate(own, rows, mass_caps=caps)
    more = integrator.integrate(own, rows, mass_caps={**caps, "absent": 0.4, b"gone": 0.0})
    assert torch.equal(alone.vector, more.vector)
    assert alone.verdicts == more.verdicts
    assert alone.observations == more.observations


@pytest.mark.parametrize("peer", [3, None, 0.5, ("a",), torch.Size([1])], ids=repr)
def test_cap_of_what_is_no_name_is_refused(peer: object) -> None:
    with pytest.raises(
        robust.InputError, match=r"mass_caps: .* names no peer; write bytes or text"
    ):
        Integrator("mean").integrate(torch.ones(2), [], mass_caps={peer: 0.5})


def test_cap_of_a_peer_that_is_there_twice_is_refused() -> None:
    with pytest.raises(robust.InputError, match=r"mass_caps=.*as text and bytes; name it once"):
        Integrator("mean").integrate(torch.ones(2), [], mass_caps={"a": 0.5, b"a": 0.1})


@pytest.mark.parametrize("rule", EXACT)
def test_rule_keeps_caps_exactly(rule: str) -> None:
    assert largest_part(rule) <= 1.0 + 1e-9


@pytest.mark.parametrize("rule", AVERAGING)
def test_rule_that_averages_all_rows_but_f_nearly_keeps_caps(rule: str) -> None:
    assert 1.1 < largest_part(rule) <= KEPT + 1e-9


@pytest.mark.parametrize("rule", TRIMMING)
def test_rule_that_trims_keeps_caps_up_to_what_is_left(rule: str) -> None:
    assert KEPT < largest_part(rule) <= MIDDLE + 1e-9


@pytest.mark.parametrize("rule", ["median", "geometric-median", "krum"])
def test_rule_that_chooses_exceeds_caps(rule: str) -> None:
    assert MIDDLE < largest_part(rule) <= ROWS + 1e-9


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_exceeds_caps_by_more_than_the_number_of_rows(rule: str) -> None:
    assert largest_part(rule) <= ROWS + 1e-9
