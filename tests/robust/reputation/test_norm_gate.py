"""Lengths as they arrive: what passes, what sets the scale, and what is remembered."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust import NormGate, RuleError


def test_three_medians_are_the_most() -> None:
    gate = NormGate()
    assert [gate.admit(name, norm) for name, norm in (("own", 1.0), ("a", 2.0), ("b", 3.0))] == [
        True,
        True,
        True,
    ]  # 2 of a median of 1, then 3 of a median of 1.5
    assert not gate.admit("c", 6.1)  # the median is 2
    assert gate.admit("c", 6.0)


def test_what_was_turned_away_leaves_no_trace() -> None:
    gate = NormGate()
    gate.admit("own", 1.0)
    before = gate.snapshot()
    for number in range(100):
        assert not gate.admit(f"liar {number}", 50.0)
    assert gate.snapshot() == before


@pytest.mark.parametrize("norm", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_length_is_turned_away(norm: float) -> None:
    assert not NormGate().admit("a", norm)


def test_who_sends_often_does_not_set_the_scale() -> None:
    gate = NormGate()
    for name in ("own", "a", "b", "c"):
        gate.admit(name, 1.0)
    for _ in range(50):
        gate.admit("busy", 2.9)
    assert not gate.admit("d", 3.1)  # the median is still 1


def test_the_scale_follows_the_last_ones() -> None:
    gate = NormGate(count=3)
    for norm in (8.0, 4.0, 2.0, 1.0, 0.5):  # as training goes on, updates get shorter
        assert gate.admit(f"peer {norm}", norm)
    assert not gate.admit("late", 4.0)
    assert len(gate.snapshot()["peers"]) == 3
    assert gate.admit("peer 1.0", 1.5)  # again: it is the latest now, and 2.0 the oldest
    assert gate.admit("new", 1.0)
    assert sorted(it["norm"] for it in gate.snapshot()["peers"].values()) == [0.5, 1.0, 1.5]


def test_a_median_of_zero_sets_no_scale() -> None:
    gate = NormGate()
    gate.admit("own", 0.0)
    assert gate.admit("a", 1e30)


@given(norms=st.lists(st.tuples(st.sampled_from("abcdefg"), st.floats()), max_size=40))
def test_a_restored_gate_cannot_be_told_from_the_original(norms: list[tuple[str, float]]) -> None:
    gate = NormGate(count=4, genesis="run 7")
    for count, (name, norm) in enumerate(norms):
        copy = NormGate.restore(json.loads(json.dumps(gate.snapshot())), count=4, genesis="run 7")
        assert copy.snapshot() == gate.snapshot()
        assert copy.admit(name, norm) == gate.admit(name, norm), count
        assert copy.snapshot() == gate.snapshot()
    assert len(gate.snapshot()["peers"]) <= 4


def test_damage_and_wrong_arguments_are_named() -> None:
    gate = NormGate(genesis="run 7")
    gate.admit("a", 1.0)
    with pytest.raises(RuleError, match="genesis"):
        NormGate.restore(gate.snapshot(), genesis="run 8")
    for norm in (math.inf, math.nan, -1.0, "1"):
        snapshot = gate.snapshot()
        snapshot["peers"]["61"]["norm"] = norm
        with pytest.raises(RuleError, match="norm"):
            NormGate.restore(snapshot, genesis="run 7")
    with pytest.raises(RuleError, match=r"norm_cap_ratio=0\.5"):
        NormGate(norm_cap_ratio=0.5)
    with pytest.raises(RuleError, match="count=0"):
        NormGate(count=0)
