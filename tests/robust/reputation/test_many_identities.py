"""What many new identities of one person can do to those who were there before."""

import pytest
import torch
from torch import Tensor

from robust import Integrator, ReputationLedger, ReputationPolicy, Row

HONEST = [f"honest {number}" for number in range(6)]
POLICY = ReputationPolicy(observations_min=4)


class Peer:
    """One honest peer over its rounds: its ledger, and what all honest peers tend towards."""

    def __init__(self, seed: int) -> None:
        self.ledger = ReputationLedger(POLICY)
        self.integrator = Integrator("nnm+trimmed-mean", observes=True)
        self.generator = torch.Generator().manual_seed(seed)
        self.base = self.drawn()
        self.round = 0

    def drawn(self) -> Tensor:
        return torch.randn(100, generator=self.generator)

    def integrate(
        self, liars: dict[str, Tensor], *, own: Tensor | None = None, noise: float = 0.7
    ) -> dict[str, float]:
        """Go through a round with all honest neighbors and some liars; return the masses."""
        rows = [Row(name, self.base + noise * self.drawn()) for name in HONEST]
        rows += [Row(name, vector) for name, vector in liars.items()]
        names = [*HONEST, *liars]
        groups = {name: ("one block",) for name in liars if name.startswith("sybil")}
        masses = self.ledger.masses(self.round, names, groups)
        if own is None:
            own = self.base + noise * self.drawn()
        result = self.integrator.integrate(own, rows, mass_caps=masses, round=self.round)
        self.ledger.observe(self.round, result.observations)
        self.round += 1
        return masses


@pytest.mark.parametrize("count", [3, 8, 14])
def test_new_identities_cannot_have_those_banned_who_were_there(count: int) -> None:
    # Each of them with a voice as loud as an honest neighbor's, eight had all six banned.
    peer = Peer(seed=0)
    for _ in range(20):
        peer.integrate({})
    before = {name: peer.ledger.reputation(name, peer.round) for name in HONEST}
    liars = {f"sybil {number}": -peer.base for number in range(count)}
    for _ in range(40):
        masses = peer.integrate(liars)
    assert not any(peer.ledger.is_banned(name, peer.round) for name in HONEST)
    assert sum(masses[name] for name in liars) == 0.0
    for name in HONEST:
        assert peer.ledger.reputation(name, peer.round) >= before[name]


def test_a_peer_with_unusual_data_lets_others_in() -> None:
    # The honest agree with each other and not with it: alone the judge, it would see nobody agree.
    peer = Peer(seed=1)
    unusual = -0.2 * peer.base
    for _ in range(30):
        masses = peer.integrate({}, own=unusual)
    assert sum(masses.values()) > 0.8
    assert not any(peer.ledger.is_banned(name, peer.round) for name in HONEST)


def test_echoes_of_own_do_not_become_the_judges() -> None:
    # Three of ten agree best with own for long, and earn most; then they send the opposite.
    peer = Peer(seed=3)
    noise = 2.0  # honest cosines of about 0.2
    for step in range(110):
        own = peer.base + noise * peer.drawn()
        lie = own if step < 30 else -peer.base
        masses = peer.integrate(dict.fromkeys(("x", "y", "z"), lie), own=own, noise=noise)
        if step == 29:
            assert sum(masses[name] for name in "xyz") > sum(masses[name] for name in HONEST)
    assert sum(masses[name] for name in "xyz") < 0.05
    assert sum(masses[name] for name in HONEST) > 0.6
    assert not any(peer.ledger.is_banned(name, peer.round) for name in HONEST)


def test_lengths_of_new_identities_are_no_scale() -> None:
    # Agreeing, but a hundred times as long: by their scale, the honest would be short.
    peer = Peer(seed=2)
    for _ in range(20):
        peer.integrate({})
    liars = {f"sybil {number}": 100.0 * peer.base for number in range(14)}
    for _ in range(10):
        masses = peer.integrate(liars)
    assert sum(masses[name] for name in HONEST) > 0.8
    assert sum(masses[name] for name in liars) == 0.0


def test_one_enormous_row_does_not_stop_all_observations() -> None:
    own = torch.ones(8, dtype=torch.float64)
    rows = [Row(name, own + 0.01 * index) for index, name in enumerate(HONEST)]
    rows.append(Row("liar", torch.full((8,), 1e200, dtype=torch.float64)))
    found = Integrator("median", observes=True).integrate(own, rows).observations
    assert found["liar"].agreement == 0.0
    assert found["liar"].validity == 0.0
    assert all(found[name].agreement > 0.9 for name in HONEST)
