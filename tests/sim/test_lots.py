"""Shares of peers: how many they draw, the same for who checks them and who draws."""

import random

from hypothesis import given
from hypothesis import strategies as st

from sim.lots import counts_of, deal


def test_each_share_draws_its_whole_part_and_the_largest_rests_one_more() -> None:
    assert counts_of([0.15, 0.1], of=10, free=10) == [1, 1]
    assert counts_of([0.015, 0.01], of=100, free=100) == [1, 1]
    assert counts_of([0.5, 0.5], of=5, free=5) == [3, 2]
    assert counts_of([0.1, None, 0.26, 0.14], of=10, free=10) == [1, 0, 3, 1]
    assert counts_of([0.29], of=100, free=100) == [29]


def test_one_share_is_rounded_and_what_is_not_free_is_not_drawn() -> None:
    assert [counts_of([share], of=10, free=10) for share in (0.05, 0.06, 1.0)] == [[0], [1], [10]]
    assert counts_of([0.5, 0.4], of=10, free=6) == [5, 1]


@given(
    parts=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    of=st.integers(0, 60),
    seed=st.integers(0, 3),
)
def test_nobody_is_drawn_twice_and_all_are_by_shares_of_1(
    parts: list[int], of: int, seed: int
) -> None:
    shares = [part / sum(parts) for part in parts]
    dealt = deal(shares, range(of), random.Random(seed), of=of)
    assert [len(peers) for peers in dealt] == counts_of(shares, of=of, free=of)
    assert sorted(peer for peers in dealt for peer in peers) == list(range(of))
    for share, peers in zip(shares, dealt, strict=True):
        assert abs(len(peers) - share * of) < 1.0
