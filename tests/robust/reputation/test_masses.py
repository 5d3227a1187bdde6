"""How mass is shared: always a simplex, under every cap."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust import Observation, ReputationLedger, ReputationPolicy, RuleError
from robust.reputation.groups import clique_names

SLACK = 1e-12


def grown(agreements: dict[str, float], rounds: int = 30) -> ReputationLedger:
    ledger = ReputationLedger()
    for index in range(rounds):
        observed = {peer: Observation(agreement=it) for peer, it in agreements.items()}
        ledger.observe(index, observed)
    return ledger


def test_equal_neighbors_share_equally_with_own() -> None:
    peers = dict.fromkeys("abc", 0.7)
    assert grown(peers).masses(29, peers) == pytest.approx(dict.fromkeys("abc", 0.25))


def test_mass_goes_by_reputation() -> None:
    # Own has 1/5, the others share 4/5 as 4 : 3 : 2 : 1. a would have 0.32, above the cap of 0.3
    # for one. Its 4 parts are cut to 3.6, so that it has 0.8 * 3.6 / 9.6 = 0.3, and the others
    # have 0.25, 1/6 and 1/12.
    peers = {"a": 0.8, "b": 0.6, "c": 0.4, "d": 0.2}
    expected = {"a": 0.3, "b": 0.25, "c": 1 / 6, "d": 1 / 12}
    assert grown(peers).masses(29, peers) == pytest.approx(expected)


def test_two_neighbors_have_an_equal_share_each() -> None:
    # A third each, although a single one has at most 0.3 among many.
    peers = {"a": 0.5, "b": 0.5}
    assert grown(peers).masses(29, peers) == pytest.approx({"a": 1 / 3, "b": 1 / 3})


def test_one_neighbor_has_half() -> None:
    assert grown({"a": 0.5}).masses(29, ["a"]) == pytest.approx({"a": 0.5})


def test_own_has_at_least_half_of_the_largest_share() -> None:
    policy = ReputationPolicy(own_mass_min=0.0, group_mass_max=1.0)
    ledger = ReputationLedger.restore(grown({"a": 0.9, "b": 0.0}, rounds=9).snapshot(), policy)
    ledger.observe(10, {"a": Observation(agreement=0.9)})
    # Of 1, a would have all: 1 - s = s / 2.
    assert ledger.masses(10, ["a"]) == pytest.approx({"a": 2 / 3})


def test_banned_and_unknown_neighbors_have_none() -> None:
    peers = dict.fromkeys("abcd", 0.8) | {"bad": 0.0}
    ledger = grown(peers, rounds=15)
    assert ledger.is_banned("bad", 14)
    masses = ledger.masses(14, [*peers, "unknown"])
    assert masses["bad"] == masses["unknown"] == 0.0
    # Four known and one unknown: own has at least a sixth, the four share the rest.
    assert masses["a"] == pytest.approx(5 / 6 / 4)


def test_newcomers_are_capped_one_by_one_and_together() -> None:
    old, new = dict.fromkeys("abcd", 0.2), dict.fromkeys("uvwxyz", 1.0)
    ledger = grown(old, rounds=40)
    for index in range(40, 49):
        ledger.observe(index, {peer: Observation(agreement=it) for peer, it in (old | new).items()})
    masses = ledger.masses(48, [*old, *new])
    assert all(masses[peer] <= 1 / 20 + SLACK for peer in new)
    assert math.fsum(masses[peer] for peer in new) == pytest.approx(0.2)
    # Not one of them takes from the others what all of them may have.
    assert math.fsum(masses[peer] for peer in old) == pytest.approx(1 - 1 / 11 - 0.2)
    alone = ledger.masses(48, [*old, "u"])
    assert alone["u"] == pytest.approx(0.1)  # 1 / (2 * 5)


def test_more_newcomers_take_no_more() -> None:
    old = dict.fromkeys("abcd", 0.8)
    for count in (5, 50):
        ledger = grown(old, rounds=40)
        new = {f"sybil {index}": Observation(agreement=1.0) for index in range(count)}
        for index in range(40, 49):
            ledger.observe(index, dict.fromkeys(old, Observation(agreement=0.8)) | new)
        masses = ledger.masses(48, [*old, *new])
        assert math.fsum(masses[peer] for peer in new) <= 0.2 + SLACK
        assert math.fsum(masses[peer] for peer in old) >= 0.6


@pytest.mark.parametrize("count", [2, 5, 40])
def test_sybils_in_one_group_have_together_what_one_may_have(count: int) -> None:
    honest = dict.fromkeys("abcdef", 0.8)
    sybils = {f"sybil {index}": 0.8 for index in range(count)}
    ledger = grown(honest | sybils, rounds=40)
    groups = {peer: ["198.51.100.0/24"] for peer in sybils}
    masses = ledger.masses(39, honest | sybils, groups)
    sybil_mass = math.fsum(masses[peer] for peer in sybils)
    assert sybil_mass <= 0.3 + SLACK
    # The others have what is left, however many the sybils are.
    assert math.fsum(masses[peer] for peer in honest) > 0.5
    free = ledger.masses(39, honest | sybils)
    if count > 5:  # without groups, nothing but their number counts
        assert math.fsum(free[peer] for peer in sybils) > 0.8


def test_whole_network_in_one_group_still_mixes() -> None:
    peers = dict.fromkeys("abcd", 0.8)
    masses = grown(peers).masses(29, peers, {peer: ["10.0.0.0/24"] for peer in peers})
    assert masses == pytest.approx(dict.fromkeys("abcd", 0.075))


def test_single_neighbor_is_capped_as_a_group_is() -> None:
    # By reputation, a would have 0.9 * 50 / 58. Capped at 0.3, the others have the rest, 0.6; own
    # has 0.1 then, less than half of 0.3, so that all are scaled by 1 / (0.9 + 0.15).
    peers = {"a": 1.0} | {f"low {index}": 0.02 for index in range(8)}
    assert grown(peers).masses(29, peers)["a"] == pytest.approx(0.3 / 1.05)


def test_no_reputation_is_no_mass() -> None:
    peers = dict.fromkeys("abc", 0.0)
    assert grown(peers).masses(29, peers) == {"a": 0.0, "b": 0.0, "c": 0.0}
    assert ReputationLedger().masses(0, ["a"]) == {"a": 0.0}
    assert ReputationLedger().masses(0, []) == {}


def test_name_in_place_of_a_list_of_names_is_refused() -> None:
    with pytest.raises(RuleError, match="'lan' has to be a list"):
        grown({"a": 0.5}).masses(29, ["a"], {"a": "lan"})


def test_cliques_are_what_pairs_connect() -> None:
    names = clique_names([("b", "c"), ("x", "y"), ("a", "b")])
    assert names["a"] == names["b"] == names["c"] != names["x"] == names["y"]
    assert set(names) == set("abcxy")
    assert clique_names([("c", "a"), ("b", "a"), ("y", "x")]) == names


@st.composite
def histories(draw: st.DrawFn) -> tuple[ReputationLedger, list[str], dict[str, list[str]]]:
    peers = [f"peer {index}" for index in range(draw(st.integers(1, 9)))]
    starts = {peer: draw(st.integers(0, 20)) for peer in peers}
    levels = {peer: draw(st.floats(0.0, 1.0)) for peer in peers}
    ledger = ReputationLedger()
    for index in range(25):
        present = {
            peer: Observation(agreement=levels[peer]) for peer in peers if starts[peer] <= index
        }
        ledger.observe(index, present)
    names = st.lists(st.sampled_from(["p", "q", "r"]), unique=True, max_size=2)
    return ledger, peers, {peer: draw(names) for peer in peers}


@given(history=histories())
def test_p19_masses_are_a_simplex_under_all_caps(
    history: tuple[ReputationLedger, list[str], dict[str, list[str]]],
) -> None:
    ledger, peers, groups = history
    masses = ledger.masses(24, peers, groups)
    assert list(masses) == peers
    assert all(mass >= 0.0 for mass in masses.values())
    unbanned = [peer for peer in peers if not ledger.is_banned(peer, 24)]
    own = 1.0 - math.fsum(masses.values())
    assert own >= 1 / (len(unbanned) + 1) - SLACK
    assert own >= max(masses.values()) / 2 - SLACK
    newcomers = [peer for peer in unbanned if ledger.is_on_probation(peer)]
    assert math.fsum(masses[peer] for peer in newcomers) <= 0.2 + SLACK
    assert all(masses[peer] <= 1 / (2 * len(unbanned)) + SLACK for peer in newcomers)
    cap = max(0.3, 1 / (len(unbanned) + 1))
    for name in "pqr":
        assert math.fsum(masses[it] for it in peers if name in groups[it]) <= cap + SLACK


@settings(max_examples=100)
@given(history=histories(), seed=st.randoms(use_true_random=False))
def test_order_of_neighbors_does_not_matter(
    history: tuple[ReputationLedger, list[str], dict[str, list[str]]], seed: object
) -> None:
    ledger, peers, groups = history
    shuffled = list(peers)
    seed.shuffle(shuffled)
    assert ledger.masses(24, shuffled, groups) == ledger.masses(24, peers, groups)
