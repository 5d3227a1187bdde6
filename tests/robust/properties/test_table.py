"""Nothing is registered that the suite does not know."""

import pytest

import robust
from tests.robust_cases import Case
from tests.robust_rules import (
    LEFT_OUT,
    TABLE,
    Known,
    Property,
    assert_lacking,
    assert_refusing,
    having,
    lacking,
)


def test_every_rule_is_in_the_table() -> None:
    bases = {known.name.split("+")[-1] for known in TABLE}
    assert bases | LEFT_OUT.keys() == set(robust.names())
    assert bases.isdisjoint(LEFT_OUT)


def test_every_rule_is_there_alone() -> None:
    assert {known.name for known in TABLE} >= set(robust.names()) - LEFT_OUT.keys()


def test_every_pre_aggregation_is_in_the_table() -> None:
    steps = {step for known in TABLE for step in known.name.split("+")[:-1]}
    assert steps == set(robust.pre_aggregation_names())


def test_names_are_there_once() -> None:
    names = [known.name for known in TABLE]
    assert len(set(names)) == len(names)


def test_every_property_is_claimed_or_denied_or_left_open_for_a_reason() -> None:
    for known in TABLE:
        assert known.has.isdisjoint(known.unstated)
        assert all(known.unstated.values())
        assert known.refuses.isdisjoint(known.has | known.unstated.keys())


def test_what_is_refused_is_tested() -> None:
    assert {prop for known in TABLE for prop in known.refuses} == {Property.AGREES}


def test_a_refusal_refutes_nothing() -> None:
    (foolsgold,) = (known for known in TABLE if known.name == "foolsgold")

    def check_refused(known: Known, case: Case) -> None:
        known.apply(case.with_rows(case.vectors[:1].expand_as(case.vectors)))

    with pytest.raises(robust.InfeasibleError):
        assert_lacking(check_refused, foolsgold)
    assert_refusing(check_refused, foolsgold)


def test_every_property_is_claimed_by_some_and_denied_by_others() -> None:
    for prop in Property:
        assert having(prop)
        # Whoever is told of a new unit scales with it; whoever is not does not.
        assert lacking(prop) or (prop is Property.SCALES and any(it.lengths for it in TABLE))


def test_every_rule_bears_liars() -> None:
    assert {known.name: known.tolerance(25) for known in TABLE if known.tolerance(25) < 5} == {}
    assert all(known.tolerance(6) >= 1 for known in TABLE)
