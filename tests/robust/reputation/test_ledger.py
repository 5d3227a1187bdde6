"""How observations and absence move reputations, worked by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust import Observation, ReputationLedger, ReputationPolicy, RuleError
from robust.reputation.ledger import ReputationStatus
from robust.reputation.record import Record

HONEST = ("a", "b", "c")


def seen(agreement: float, **others: float) -> Observation:
    return Observation(agreement=agreement, **others)


def grown(rounds: int, agreement: float = 0.8, peers: tuple[str, ...] = HONEST) -> ReputationLedger:
    ledger = ReputationLedger()
    for index in range(rounds):
        ledger.observe(index, dict.fromkeys(peers, seen(agreement)))
    return ledger


def test_reputation_is_the_moving_average_from_zero() -> None:
    # 0.05 * 0.8 = 0.04; then 0.95 * 0.04 + 0.05 * 0.4 = 0.058.
    ledger = ReputationLedger()
    ledger.observe(0, {"a": seen(0.8)})
    assert ledger.reputation("a", 0) == pytest.approx(0.04)
    ledger.observe(1, {"a": seen(0.4)})
    assert ledger.reputation("a", 1) == pytest.approx(0.058)


def test_one_observation_stands_for_a_gap_of_five_rounds_at_most() -> None:
    # 0.95^3 * 0.04 + (1 - 0.95^3) * 0.8 after a gap of 3; as if 5 after one of 50.
    for gap, counted in ((3, 3), (50, 5)):
        ledger = ReputationLedger()
        ledger.observe(0, {"a": seen(0.8)})
        ledger.observe(gap, {"a": seen(0.8)})
        kept = 0.95**counted
        assert ledger.reputation("a", gap) == pytest.approx(kept * 0.04 + (1 - kept) * 0.8)


@pytest.mark.parametrize(
    ("observation", "gain"),
    [
        (seen(0.5), 0.5),
        (seen(-0.5), 0.0),
        (seen(2.0), 1.0),
        (seen(math.nan), 0.0),
        (seen(math.inf), 1.0),
        (seen(0.5, norm_ratio=4.1), 0.0),
        (seen(0.5, norm_ratio=0.24), 0.0),
        (seen(0.5, norm_ratio=3.9), 0.5),
        (seen(0.5, norm_ratio=math.nan), 0.0),
        (seen(0.5, performance=0.5), 0.25),
        (seen(0.5, validity=0.5), 0.25),
        (seen(0.5, validity=math.nan), 0.0),
        (seen(0.5, performance=-1.0), 0.0),
    ],
)
def test_whatever_was_observed_earns_something_in_range(
    observation: Observation, gain: float
) -> None:
    ledger = ReputationLedger()
    ledger.observe(0, {"a": observation})
    assert ledger.reputation("a", 0) == pytest.approx(0.05 * gain)


def test_exponents_weigh_agreement_against_performance() -> None:
    policy = ReputationPolicy(agreement_exponent=2.0, performance_exponent=0.5)
    ledger = ReputationLedger(policy)
    ledger.observe(0, {"a": seen(0.5, performance=0.25, validity=0.5)})
    assert ledger.reputation("a", 0) == pytest.approx(0.05 * 0.25 * 0.5 * 0.5)


def test_second_observation_in_a_round_or_an_earlier_one_changes_nothing() -> None:
    ledger = grown(5)
    before = ledger.snapshot()
    ledger.observe(4, {"a": seen(1.0)})
    ledger.observe(2, {"a": seen(0.0)})
    assert ledger.snapshot() == before


def test_text_and_bytes_are_one_peer() -> None:
    ledger = ReputationLedger()
    ledger.observe(0, {"a": seen(0.8)})
    assert ledger.reputation(b"a", 0) == ledger.reputation("a", 0) > 0.0
    ledger.observe(1, {"a": seen(0.8), b"a": seen(0.8)})
    assert len(ledger.snapshot()["peers"]) == 1


def test_absence_halves_the_way_to_half_of_the_median() -> None:
    ledger = ReputationLedger()
    for index in range(100):
        peers = {"a": seen(0.4), "b": seen(0.4), "c": seen(0.4), "good": seen(0.9)}
        ledger.observe(index, peers)
    start, rest = ledger.reputation("good", 99), 0.5 * ledger.reputation("a", 99)
    for half_lives in (1, 2, 3):
        later = ledger.reputation("good", 100 + 200 * half_lives)
        # The median's own peers are as absent, so the level is what it was.
        assert later - rest == pytest.approx((start - rest) * 0.5**half_lives)


def test_absence_earns_nothing() -> None:
    ledger = grown(40)
    ledger.observe(40, dict.fromkeys(HONEST, seen(0.8)) | {"new": seen(0.8)})
    assert ledger.reputation("new", 400) == ledger.reputation("new", 40) == pytest.approx(0.04)


def test_absence_leaves_less_behind_a_rating() -> None:
    # A half-life halves the way from 0.8 to 0.4: 0.6, which is 3/4 of 0.8. So 3/4 of the evidence
    # is left of a rating of 4/5; after an observation of 0, which keeps 0.95^5 of it, it is less.
    policy = ReputationPolicy()
    old = Record(first_round=0, last_round=9, observations=10, earned=0.8, agreed=0.8, evidence=1.0)
    rested = old.rested(210, 0.4, policy)
    assert (rested.earned, rested.agreed, rested.evidence) == pytest.approx((0.6, 0.6, 0.75))
    assert rested.rating == pytest.approx(0.8)
    kept = 0.95**5
    after = rested.observed(210, seen(0.0), policy)
    assert after.rating == pytest.approx(0.8 * 0.75 * kept / (0.75 * kept + 1.0 - kept))


def test_absence_leaves_the_rating_alone() -> None:
    # One that always agreed with 0.5 of 0.8 is back after 300 rounds, and far from a ban.
    ledger = ReputationLedger()
    for index in range(30):
        ledger.observe(index, dict.fromkeys(HONEST, seen(0.8)) | {"x": seen(0.5)})
    for index in range(330, 340):
        ledger.observe(index, dict.fromkeys(HONEST, seen(0.8)) | {"x": seen(0.5)})
    assert not ledger.is_banned("x", 339)


@given(
    agreement=st.floats(allow_nan=True, allow_infinity=True),
    before=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20),
)
def test_p12_one_observation_moves_a_reputation_by_at_most_five_percent(
    agreement: float, before: list[float]
) -> None:
    ledger = ReputationLedger()
    for index, value in enumerate(before):
        ledger.observe(index, {"a": seen(value)})
    old = ledger.reputation("a", len(before) - 1)
    ledger.observe(len(before), {"a": seen(agreement)})
    new = ledger.reputation("a", len(before))
    assert abs(new - old) <= 0.05 + 1e-12
    assert 0.0 <= new <= 1.0


def test_negative_round_is_the_callers_mistake() -> None:
    with pytest.raises(RuleError, match="round_index=-1"):
        ReputationLedger().observe(-1, {})


# Memory ---------------------------------------------------------------------------------------


def known(ledger: ReputationLedger) -> set[str]:
    return {bytes.fromhex(name).decode() for name in ledger.snapshot()["peers"]}


def test_memory_is_bounded_and_whom_nobody_saw_for_longest_goes_first() -> None:
    ledger = ReputationLedger(ReputationPolicy(peers_max=5))
    for index in range(10):
        ledger.observe(index, {f"peer {index}": seen(0.8), "a": seen(0.8)})
    assert known(ledger) == {"a", "peer 6", "peer 7", "peer 8", "peer 9"}


def test_newcomers_find_room_in_a_memory_full_of_acquaintances() -> None:
    policy = ReputationPolicy(peers_max=8, observations_min=3)
    ledger = ReputationLedger(policy)
    for index in range(4):
        ledger.observe(index, {f"old {number}": seen(0.9) for number in range(8)})
    for index in range(10, 14):
        ledger.observe(index, {"new": seen(0.9)})
    assert ledger.status("new", 14) is ReputationStatus.ESTABLISHED
    assert len(known(ledger)) == 8


def test_standings_of_several_are_those_of_each() -> None:
    ledger = grown(12)
    assert ledger.standings(12, ["a", "nobody"]) == {
        peer: (ledger.status(peer, 12), ledger.reputation(peer, 12)) for peer in ("a", "nobody")
    }


@pytest.mark.parametrize("count", [0, 1])
def test_who_never_agreed_is_worthless_among_too_few_to_ban_it(count: int) -> None:
    ledger, peers = ReputationLedger(), HONEST[:count]
    for index in range(30):
        ledger.observe(index, {**dict.fromkeys(peers, seen(0.8)), "liar": seen(0.0)})
    assert ledger.status("liar", 30) is ReputationStatus.WORTHLESS
    assert ledger.masses(30, [*peers, "liar"])["liar"] == 0.0


def test_who_agreed_and_never_performed_is_worthless_before_probation_ends() -> None:
    ledger = grown(20)
    for index in range(20, 25):
        ledger.observe(index, {"new": seen(0.9, performance=0.0)})
    assert ledger.status("new", 25) is ReputationStatus.WORTHLESS
    ledger.observe(25, {"new": seen(0.9)})
    assert ledger.status("new", 26) is ReputationStatus.NEWCOMER


@settings(max_examples=20)
@given(st.lists(st.sampled_from([0.0, 0.1, 0.9]), min_size=4, max_size=4), st.integers(1, 30))
def test_the_first_four_statuses_have_no_mass_and_the_others_some(
    agreements: list[float], rounds: int
) -> None:
    ledger, peers = ReputationLedger(), [*"abcd"]
    for index in range(rounds):
        ledger.observe(index, dict(zip(peers, map(seen, agreements), strict=True)))
    masses = ledger.masses(rounds, [*peers, "nobody"])
    without = list(ReputationStatus)[:4]
    for peer, mass in masses.items():
        assert (mass == 0.0) is (ledger.status(peer, rounds) in without)


# Judged after two observations, and banned for long after two bad ones.
STRICT = ReputationPolicy(
    peers_max=10, observations_min=2, ban_streak=2, ban_rounds_first=500, ban_rounds_max=500
)


def banning(ledger: ReputationLedger, index: int, names: list[str]) -> int:
    """Let some neighbors be banned, among the honest ones; return the next round."""
    for number in range(index, index + 3):
        ledger.observe(number, dict.fromkeys(HONEST, seen(0.8)) | dict.fromkeys(names, seen(0.0)))
    assert all(ledger.is_banned(name, index + 3) for name in names)
    return index + 3


def test_a_flood_of_strangers_does_not_wash_out_a_ban() -> None:
    ledger = ReputationLedger(STRICT)
    start = banning(ledger, 0, ["liar"])
    for index in range(start, start + 100):
        ledger.observe(index, {f"{index} {number}": seen(0.9) for number in range(9)})
    assert ledger.is_banned("liar", start + 100)
    assert len(known(ledger)) == 10


def test_a_ban_is_washed_out_by_half_a_memory_of_later_bans_at_least() -> None:
    ledger = ReputationLedger(STRICT)
    index = banning(ledger, 0, ["liar"])
    for number in range(5):
        # Room is short from now on.
        ledger.observe(index, {f"guest {number}": seen(0.8) for number in range(5)})
        assert ledger.is_banned("liar", index)
        index = banning(ledger, index + 1, [f"liar {number}"])
    ledger.observe(index, {f"guest {number}": seen(0.8) for number in range(5)})
    assert not ledger.is_banned("liar", index)


def test_the_banned_leave_half_of_the_memory_to_the_honest() -> None:
    ledger = ReputationLedger(STRICT)
    index = 0
    for wave in range(10):
        index = banning(ledger, index, [f"liar {wave} {number}" for number in range(2)])
    ledger.observe(index, {"x": seen(0.8)})
    ledger.observe(index + 1, {"y": seen(0.8)})
    assert known(ledger) >= {*HONEST, "x", "y"}  # the honest three have been away for two rounds
    assert len(known(ledger)) == 10


def test_who_is_observed_in_a_round_is_kept_as_long_as_there_is_room() -> None:
    ledger = ReputationLedger(STRICT)
    index = 0
    for wave in range(3):
        index = banning(ledger, index, [f"liar {wave} {number}" for number in range(2)])
    guests = {f"guest {number}" for number in range(10)}
    ledger.observe(index, dict.fromkeys(guests, seen(0.8)))
    assert known(ledger) == guests
    ledger.observe(index + 1, {f"other {number}": seen(0.8) for number in range(11)})
    assert len(known(ledger)) == 10
