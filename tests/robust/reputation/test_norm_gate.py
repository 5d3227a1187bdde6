"""Lengths as they arrive: what passes, what sets the scale, and what is remembered."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust import NormGate, RuleError


def test_three_medians_are_the_most() -> None:
    gate = NormGate()
    assert gate.admit("a", 2.0, own_norm=1.0)
    assert gate.admit("b", 3.0, own_norm=1.0)
    assert not gate.admit("c", 6.1, own_norm=1.0)  # the median is 2
    gate = NormGate.restore(gate.snapshot())
    assert gate.admit("c", 6.0, own_norm=1.0)


@pytest.mark.parametrize("norm", [math.nan, math.inf, -math.inf, -1.0])
def test_what_is_no_length_is_turned_away_and_leaves_no_trace(norm: float) -> None:
    gate = NormGate()
    assert not gate.admit("a", norm, own_norm=1.0)
    assert gate.snapshot()["peers"] == {}


def test_who_sends_often_does_not_set_the_scale() -> None:
    gate = NormGate()
    for name in ("a", "b", "c"):
        gate.admit(name, 1.0, own_norm=1.0)
    for _ in range(50):
        gate.admit("busy", 2.9, own_norm=1.0)
    assert not gate.admit("d", 3.1, own_norm=1.0)  # the median is still 1


def test_one_neighbor_alone_does_not_raise_the_scale() -> None:
    gate, norm = NormGate(), 1.0
    for _ in range(40):
        norm *= 1.45 if gate.admit("liar", norm * 1.45, own_norm=1.0) else 1.0
    assert 2.0 < norm <= 3.0


def test_tiny_updates_do_not_shut_out_honest_ones() -> None:
    gate = NormGate()
    for number in range(40):
        gate.admit(f"liar {number}", 1e-6, own_norm=1.0)
    assert gate.admit("honest", 3.0, own_norm=1.0)


@pytest.mark.parametrize("own_norm", [1.0, 3.5], ids=["the own one stays", "the own one too"])
def test_where_most_lengths_grow_the_scale_follows(own_norm: float) -> None:
    gate = NormGate()
    for _ in range(10):
        for name in "abc":
            gate.admit(name, 1.0, own_norm=1.0)
    for _ in range(4):
        last = [gate.admit(name, 3.5, own_norm=own_norm) for name in "abc"]
    assert last == [True] * 3


def test_a_minority_that_is_turned_away_does_not_move_the_scale() -> None:
    gate = NormGate()
    for _ in range(50):
        for name in "abc":
            assert gate.admit(name, 1.0, own_norm=1.0)
        for name in "xyz":
            assert not gate.admit(name, 1e6, own_norm=1.0)


def test_lengths_of_those_who_left_no_longer_count() -> None:
    gate = NormGate(age_max=20)
    for number in range(9):
        gate.admit(f"gone {number}", 1.0, own_norm=1.0)
    found = [gate.admit(name, 3.5, own_norm=1.0) for _ in range(10) for name in "abc"]
    assert found[-3:] == [True] * 3
    assert found[:18] == [False] * 18
    assert set(gate.snapshot()["peers"]) == {name.encode().hex() for name in "abc"}


def test_who_makes_all_lengths_old_leaves_the_own_one() -> None:
    gate = NormGate(age_max=20)
    gate.admit("a", 2.0, own_norm=1.0)
    for _ in range(100):
        assert not gate.admit("busy", 50.0, own_norm=1.0)
    assert gate.admit("a", 3.0, own_norm=1.0)


def test_the_scale_follows_the_last_ones() -> None:
    gate = NormGate(count=3)
    for norm in (8.0, 4.0, 2.0, 1.0, 0.5):  # as training goes on, updates get shorter
        assert gate.admit(f"peer {norm}", norm, own_norm=norm)
    assert len(gate.snapshot()["peers"]) == 3
    assert gate.admit("peer 1.0", 1.5, own_norm=0.5)  # again: it is the latest now, 2.0 the oldest
    assert gate.admit("new", 1.0, own_norm=0.5)
    assert sorted(it["norm"] for it in gate.snapshot()["peers"].values()) == [0.5, 1.0, 1.5]


def test_a_scale_of_zero_is_none() -> None:
    gate = NormGate()
    assert gate.admit("a", 1e30, own_norm=0.0)
    assert not gate.admit("b", 4e30, own_norm=0.0)


@given(norms=st.lists(st.tuples(st.sampled_from("abcdefg"), st.floats()), max_size=40))
def test_a_restored_gate_cannot_be_told_from_the_original(norms: list[tuple[str, float]]) -> None:
    gate = NormGate(count=4, genesis="run 7")
    for count, (name, norm) in enumerate(norms):
        copy = NormGate.restore(json.loads(json.dumps(gate.snapshot())), count=4, genesis="run 7")
        assert copy.snapshot() == gate.snapshot()
        admitted = gate.admit(name, norm, own_norm=1.0)
        assert copy.admit(name, norm, own_norm=1.0) == admitted, count
        assert copy.snapshot() == gate.snapshot()
    assert len(gate.snapshot()["peers"]) <= 4


def test_damage_and_wrong_arguments_are_named() -> None:
    gate = NormGate(genesis="run 7")
    gate.admit("a", 1.0, own_norm=1.0)
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
    with pytest.raises(RuleError, match="age_max=0"):
        NormGate(age_max=0)
    with pytest.raises(RuleError, match="own_norm=nan"):
        gate.admit("a", 1.0, own_norm=math.nan)


def test_a_wave_of_long_updates_raises_the_scale_by_the_ratio_and_not_to_their_length() -> None:
    gate = NormGate(norm_cap_ratio=3.0)
    for name in "abc":
        assert gate.admit(name, 1.0, own_norm=1.0)
    assert not any(gate.admit(name, 100.0, own_norm=1.0) for name in "abc")
    assert not gate.admit("d", 9.1, own_norm=1.0)
    assert gate.admit("e", 9.0, own_norm=1.0)
