"""Leaving and coming back under a new name is worth no more than staying."""

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from robust import Observation, ReputationLedger

HONEST = tuple(f"honest {index}" for index in range(5))
START = 30  # the round in which the peer arrives


def grown() -> dict[str, Any]:
    ledger = ReputationLedger()
    for index in range(START):
        ledger.observe(index, dict.fromkeys(HONEST, Observation(agreement=0.8)))
    return ledger.snapshot()


OLD, FRESH = grown(), ReputationLedger().snapshot()
networks = st.sampled_from([OLD, FRESH])


def masses_of_peer(
    agreements: list[float],
    leave_at: int | None = None,
    *,
    network: dict[str, Any] = OLD,
    head_start: float = 0.0,
) -> tuple[list[float], list[bool]]:
    """Return the peer's mass and whether it is banned, in each round from its arrival on.

    From `leave_at` on it is somebody else, who starts with `head_start` earned and agreed.
    """
    ledger = ReputationLedger.restore(network)
    masses, bans = [], []
    for index, agreement in enumerate(agreements, START):
        name = "old" if leave_at is None or index - START < leave_at else "new"
        if index - START == leave_at and head_start:
            ledger = with_head_start(ledger, head_start, index - 1)
        observations = dict.fromkeys(HONEST, Observation(agreement=0.8))
        ledger.observe(index, observations | {name: Observation(agreement=agreement)})
        masses.append(ledger.masses(index, [*HONEST, name])[name])
        bans.append(ledger.is_banned(name, index))
    return masses, bans


def with_head_start(ledger: ReputationLedger, level: float, round_index: int) -> ReputationLedger:
    snapshot = ledger.snapshot()
    fields = dict.fromkeys(next(iter(snapshot["peers"].values())), 0)
    fields |= {"first_round": round_index, "last_round": round_index}
    fields |= {"earned": level, "agreed": level, "evidence": 1.0}
    snapshot["peers"][b"new".hex()] = fields
    return ReputationLedger.restore(snapshot)


@settings(max_examples=200)
@given(
    agreements=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40),
    leave_share=st.floats(0.0, 1.0),
    network=networks,
)
def test_p19_until_a_ban_no_round_is_better_under_a_new_name(
    agreements: list[float], leave_share: float, network: dict[str, Any]
) -> None:
    leave_at = 1 + int(leave_share * (len(agreements) - 2))
    stay, bans = masses_of_peer(agreements, network=network)
    rejoin, _ = masses_of_peer(agreements, leave_at, network=network)
    until = bans.index(True) if True in bans else len(bans)
    for old, new in zip(stay[:until], rejoin[:until], strict=True):
        assert new <= old + 1e-12


@settings(max_examples=100)
@given(agreement=st.floats(0.0, 1.0), leave_at=st.integers(1, 40), network=networks)
def test_p19_with_bans_nobody_that_stays_the_same_gains(
    agreement: float, leave_at: int, network: dict[str, Any]
) -> None:
    agreements = [agreement] * 60
    stay, _ = masses_of_peer(agreements, network=network)
    rejoin, _ = masses_of_peer(agreements, leave_at, network=network)
    assert math.fsum(rejoin) <= math.fsum(stay) + 1e-12


def test_new_names_again_and_again_are_worth_nothing_to_one_that_would_be_banned() -> None:
    for agreement in (0.0, 0.1, 0.2):
        for leave_at in range(1, 10):
            masses = masses_of_peer([agreement] * 19, leave_at)[0]
            assert masses[leave_at : leave_at + 9] == [0.0] * 9


def test_head_start_for_newcomers_would_pay() -> None:
    # The negative control: one that turned bad has nothing under a new name, unless newcomers
    # start at half of the median.
    agreements = [0.8] * 20 + [0.0] * 10
    rejoin, _ = masses_of_peer(agreements, leave_at=20)
    assert rejoin[20:] == [0.0] * 10
    gift, _ = masses_of_peer(agreements, leave_at=20, head_start=0.4)
    assert math.fsum(gift[20:]) > 0.1


def test_serving_a_first_ban_pays_in_the_long_run_for_one_that_mends_its_ways() -> None:
    banned_at = masses_of_peer([0.0] * 12)[1].index(True)
    agreements = [0.0] * (banned_at + 1) + [0.8] * 60
    stay, bans = masses_of_peer(agreements)
    rejoin, _ = masses_of_peer(agreements, banned_at + 1)
    assert bans.count(True) == 10
    assert math.fsum(stay) > math.fsum(rejoin)


def test_one_who_served_a_ban_has_no_mass_before_it_agrees_again() -> None:
    masses, bans = masses_of_peer([0.0] * 80)
    assert bans.count(True) > 30
    assert masses == [0.0] * 80
