"""Verdicts: rows that a rule took nothing of are told from those that it used."""

from typing import Any

import pytest
import torch

import robust
from robust import Integrator, Reason, Row

OWN = torch.tensor([1.0, 1.0])
NEAR = {"a": [1.1, 1.0], "b": [1.0, 1.1], "c": [0.9, 1.0]}
FAR = {"far": [40.0, -40.0]}


def integrate(
    rule: str | robust.Rule, sent: dict[str, list[float]], **given: Any
) -> tuple[dict[bytes | str, Reason], dict[bytes | str, float]]:
    rows = [Row(peer, torch.tensor(vector)) for peer, vector in sent.items()]
    integrator = Integrator(rule, norm_cap_ratio=None, **given)
    verdicts = integrator.integrate(OWN, rows).verdicts
    return {it.peer: it.reason for it in verdicts}, {it.peer: it.weight for it in verdicts}


def closeness(vector: torch.Tensor) -> list[float]:
    return [1.0 / (1.0 + float((vector - OWN).norm()))]


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("krum", {}),
        ("multi-krum", {}),
        ("monna", {}),
        ("minimum-diameter", {}),
        ("trimmed-mean", {}),
        ("median", {}),
        ("mean-around-median", {}),
        ("bridge", {}),
        ("balance", {}),
        ("fltrust", {}),
        ("ubar", {"evaluate": closeness}),
        ("bristle", {"evaluate": closeness}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_row_that_a_rule_takes_nothing_of_is_not_chosen(rule: str, given: dict[str, Any]) -> None:
    found, weights = integrate(rule, NEAR | FAR, **given)
    assert (found["far"], weights["far"]) == (Reason.NOT_CHOSEN, 0.0)
    assert all((found[peer] is Reason.ACCEPTED) == (weights[peer] > 0.0) for peer in found)


def test_alike_rows_that_foolsgold_leaves_out_are_not_chosen() -> None:
    found, _ = integrate("foolsgold", {"a": [9.0, 0.1], "b": [-4.0, 8.0], "c": [-4.0, 8.0]})
    assert found == {"a": Reason.ACCEPTED, "b": Reason.NOT_CHOSEN, "c": Reason.NOT_CHOSEN}


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "mean-around-median"])
def test_row_used_in_one_coordinate_alone_is_accepted(rule: str) -> None:
    sent = {"a": [1.1, 8.0], "b": [0.9, -8.0], "odd": [40.0, 1.0], "other": [-40.0, 1.0]}
    found, weights = integrate(rule, sent)
    assert found["odd"] is found["other"] is Reason.ACCEPTED
    assert weights["odd"] > 0.0


def test_row_that_its_caller_weighs_zero_is_not_chosen() -> None:
    rows = [Row("a", torch.tensor([2.0, 2.0]), 0.0), Row("b", torch.tensor([2.0, 2.0]), 0.5)]
    verdicts = Integrator("mean").integrate(OWN, rows).verdicts
    assert [it.reason for it in verdicts] == [Reason.NOT_CHOSEN, Reason.ACCEPTED]


def test_no_row_is_said_to_be_passed_over_where_own_was_kept() -> None:
    rule = robust.create("krum", byzantine_count=3)
    found, _ = integrate(rule, NEAR | FAR)
    assert set(found.values()) == {Reason.NOT_INTEGRATED}


def test_what_a_ledger_is_told_does_not_depend_on_what_the_rule_chose() -> None:
    rows = [Row(peer, torch.tensor(vector)) for peer, vector in (NEAR | FAR).items()]
    told = [
        Integrator(rule, norm_cap_ratio=None, observes=True).integrate(OWN, rows).observations
        for rule in ("mean", "krum")
    ]
    assert told[0] == told[1]
