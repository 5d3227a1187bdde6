"""Policies are values, and a wrong one says which field is wrong and what would be right."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from robust import ReputationPolicy, RuleError
from robust.reputation.loss_gate import LossGatePolicy


@pytest.mark.parametrize(
    ("policy", "name", "meant"),
    [
        (ReputationPolicy, "ban_streek", "ban_streak"),
        (LossGatePolicy, "probe_cuont", "probe_count"),
    ],
)
def test_unknown_constant_is_a_rule_error(policy: Any, name: str, meant: str) -> None:
    said = rf"{policy.__name__}\.{name}=3: there is no such .*; did you mean '{meant}'\?"
    with pytest.raises(RuleError, match=said):
        policy(**{name: 3})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("decay", 1.0),
        ("decay", 0.0),
        ("decay", float("nan")),
        ("gap_rounds_max", 0),
        ("gap_rounds_max", 2.5),
        ("half_life_rounds", 0.0),
        ("half_life_rounds", float("inf")),
        ("rest_ratio", 1.0),
        ("agreement_exponent", -1.0),
        ("performance_exponent", float("inf")),
        ("observations_min", True),
        ("probation_share_max", 0.0),
        ("probation_mass_max", 1.5),
        ("group_mass_max", -0.1),
        ("own_mass_min", 1.0),
        ("ban_ratio", 1.0),
        ("ban_streak", -3),
        ("ban_peers_min", 0),
        ("ban_rounds_first", 0),
        ("ban_rounds_max", 9),
        ("ban_exit_ratio", 1.0),
        ("strike_memory_rounds", 0),
        ("quota_min", 0.0),
        ("peers_max", 0),
    ],
)
def test_wrong_value_is_refused(field: str, value: object) -> None:
    with pytest.raises(RuleError, match=rf"ReputationPolicy\.{field}={value}: must be "):
        ReputationPolicy(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probe_count", 1),
        ("memory", 1.0),
        ("value_min", 0.5),
        ("scores_min", 1.5),
        ("origins_max", False),
        ("origins_max", 1),
        ("margin_errors", -1.0),
    ],
)
def test_wrong_value_of_the_gate_is_refused(field: str, value: object) -> None:
    with pytest.raises(RuleError, match=rf"LossGatePolicy\.{field}={value}: must be "):
        LossGatePolicy(**{field: value})


def test_policies_are_values() -> None:
    assert ReputationPolicy() == ReputationPolicy()
    with pytest.raises(FrozenInstanceError):
        ReputationPolicy().decay = 0.5
