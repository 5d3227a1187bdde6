"""What a neighbor is served for what it has earned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust import Observation, ReputationLedger, RuleError
from robust.reputation.quotas import entry_count, is_served


def test_quota_is_the_share_of_the_best_reputation() -> None:
    ledger = ReputationLedger()
    agreements = {"a": 0.8, "b": 0.4, "c": 0.4, "d": 0.01, "e": 0.8}
    for index in range(12):
        ledger.observe(index, {peer: Observation(agreement=it) for peer, it in agreements.items()})
    assert ledger.is_banned("d", 11)
    quotas = ledger.quotas(11, [*"abd", "newcomer"])
    assert quotas == pytest.approx({"a": 1.0, "b": 0.5, "d": 0.0, "newcomer": 0.1})


def test_where_nobody_has_earned_anything_all_are_served() -> None:
    # Else a fresh network would begin with ten rounds in which nobody hears of anybody.
    assert ReputationLedger().quotas(0, ["a", "b"]) == {"a": 1.0, "b": 1.0}
    ledger = ReputationLedger()
    ledger.observe(0, {"a": Observation(agreement=0.5)})
    assert ledger.quotas(1, ["a", "b"]) == {"a": 1.0, "b": 0.1}


@pytest.mark.parametrize(
    ("quota", "length", "count"),
    [(1.0, 7, 7), (0.5, 7, 4), (0.1, 10, 1), (0.7, 10, 7), (0.1, 3, 1), (0.0, 5, 0), (0.5, 0, 0)],
)
def test_entries_are_counted_up(quota: float, length: int, count: int) -> None:
    assert entry_count(quota, length) == count


def test_third_of_the_rounds() -> None:
    assert [is_served(1 / 3, index) for index in range(6)] == [False, False, True] * 2
    assert all(is_served(1.0, index) for index in range(20))
    assert not any(is_served(0.0, index) for index in range(20))


@given(quota=st.floats(0.01, 1.0), start=st.integers(0, 1000), rounds=st.integers(1, 200))
def test_served_rounds_are_the_quota_of_any_stretch(quota: float, start: int, rounds: int) -> None:
    served = sum(is_served(quota, index) for index in range(start, start + rounds))
    assert abs(served - quota * rounds) <= 1.0 + 1e-6


@pytest.mark.parametrize("quota", [-0.1, 1.1, float("nan")])
def test_wrong_quota_is_refused(quota: float) -> None:
    with pytest.raises(RuleError, match="quota"):
        entry_count(quota, 10)
    with pytest.raises(RuleError, match="quota"):
        is_served(quota, 10)
