"""Who is banned, when, and for how long."""

import pytest

from robust import Observation, ReputationLedger, ReputationPolicy

HONEST = tuple(f"honest {index}" for index in range(5))


class World:
    """A ledger and its round, with five honest neighbors that agree alike."""

    def __init__(self, agreement: float = 0.8, policy: ReputationPolicy | None = None) -> None:
        self.ledger = ReputationLedger(policy)
        self.round_index = 0
        self.agreement = agreement

    def step(self, **agreements: float) -> None:
        observations = dict.fromkeys(HONEST, Observation(agreement=self.agreement))
        observations |= {peer: Observation(agreement=it) for peer, it in agreements.items()}
        self.ledger.observe(self.round_index, observations)
        self.round_index += 1

    def is_banned(self, peer: str = "x") -> bool:
        """Tell whether a ban covers the round that comes next."""
        return self.ledger.is_banned(peer, self.round_index)

    def run_until_banned(self, agreement: float, rounds_max: int = 100) -> int:
        for count in range(1, rounds_max + 1):
            self.step(x=agreement)
            if self.is_banned():
                return count
        raise AssertionError("never banned")

    def serve(self) -> int:
        start = self.round_index
        while self.is_banned():
            self.step()
        return self.round_index - start + 1  # the round of the ban itself is the first


def test_nobody_is_banned_before_ten_observations() -> None:
    world = World()
    for _ in range(30):
        world.step()
    # Below from the first observation on, so the tenth is the first one that may ban.
    assert world.run_until_banned(0.0) == 10


def test_whole_fresh_network_is_judged_after_three_more() -> None:
    # Nobody is rated before its tenth observation, so that is the first one below.
    assert World().run_until_banned(0.0) == 12


def test_two_below_and_one_above_is_no_ban() -> None:
    # Level: the median is 0.8 and the mean less, say m / 3. With 0.05 per observation, agreements
    # that alternate around it cross it again and again.
    world = World()
    for _ in range(30):
        world.step()
    crossings = 0
    for index in range(120):
        world.step(x=0.0 if index % 3 else 0.8)
        record = world.ledger.snapshot()["peers"][b"x".hex()]
        crossings += record["below_count"] > 0
        assert record["below_count"] < 3
        assert not world.is_banned()
    assert crossings > 0


def test_one_bad_day_of_an_honest_neighbor_is_no_ban() -> None:
    world = World()
    for _ in range(30):
        world.step(x=0.8)
    for _ in range(10):
        world.step(x=0.0)
    assert not world.is_banned()


def test_agreement_just_above_a_third_is_never_banned() -> None:
    world = World()
    for _ in range(200):
        world.step(x=0.27)  # 0.8 / 3 = 0.267
        assert not world.is_banned()


def test_rare_neighbor_is_banned_only_below_a_third_of_the_mean_with_it() -> None:
    # With 5 at 0.8 and x at 0.2 the mean is 0.7, a third of it 0.233.
    assert World().run_until_banned(0.2) == 12


def test_conduct_out_of_order_counts_as_disagreement_does() -> None:
    world = World()
    for _ in range(30):
        world.step()
    seen = dict.fromkeys(HONEST, Observation(agreement=0.8))
    for _ in range(10):
        assert not world.is_banned()
        seen |= {"x": Observation(agreement=0.8, validity=0.0)}
        world.ledger.observe(world.round_index, seen)
        world.round_index += 1
    assert world.is_banned()


def test_two_neighbors_are_not_judged_by_each_other() -> None:
    ledger = ReputationLedger()
    for index in range(100):
        ledger.observe(index, {"a": Observation(agreement=0.9), "b": Observation(agreement=0.0)})
    assert not ledger.is_banned("b", 100)


def test_bans_double_up_to_a_bound_and_end() -> None:
    world = World(policy=ReputationPolicy(ban_rounds_max=50))
    served = []
    for _ in range(5):
        world.run_until_banned(0.0)
        served.append(world.serve())
    assert served == [10, 20, 40, 50, 50]


def test_huge_number_of_strikes_is_no_overflow() -> None:
    world = World()
    world.run_until_banned(0.0)
    snapshot = world.ledger.snapshot()
    snapshot["peers"][b"x".hex()]["strikes"] = 10**6
    world.ledger = ReputationLedger.restore(snapshot)
    world.serve()
    world.run_until_banned(0.0)
    assert world.serve() == 1440


def test_strikes_are_forgotten_last() -> None:
    world = World()
    served = []
    for _ in range(2):
        world.run_until_banned(0.0)
        served.append(world.serve())
    assert served == [10, 20]
    for _ in range(2100):  # two strikes, a thousand rounds each
        world.step(x=0.8)
    world.run_until_banned(0.0)
    assert world.serve() == 10


def test_served_ban_is_not_followed_by_the_next_for_one_that_mends_its_ways() -> None:
    world = World()
    world.run_until_banned(0.0)
    world.serve()
    for _ in range(100):
        world.step(x=0.8)
        assert not world.is_banned()
    assert world.ledger.reputation("x", world.round_index) == pytest.approx(0.8, rel=0.05)


def test_observations_during_a_ban_change_nothing() -> None:
    world = World()
    world.run_until_banned(0.0)
    before = world.ledger.snapshot()["peers"][b"x".hex()]
    for _ in range(5):
        world.step(x=1.0)
    assert world.ledger.snapshot()["peers"][b"x".hex()] == before
    assert world.ledger.reputation("x", world.round_index) == 0.0


def test_those_that_average_what_they_get_cannot_have_the_honest_banned() -> None:
    # Four liars of eleven agree with 0.9 where the honest, noisy, agree with 0.1. The mean is
    # 0.39, a third of it 0.13: the mean alone would ban every honest neighbor.
    liars = {f"liar {index}": 0.9 for index in range(4)}
    world = World(agreement=0.1)
    for _ in range(60):
        world.step(extra=0.1, other=0.1, **liars)
        assert not any(world.is_banned(peer) for peer in HONEST)
    assert (7 * 0.1 + 4 * 0.9) / 11 / 3 > 0.1
