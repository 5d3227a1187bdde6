"""The application is told which parts that it switched on have nothing to do."""

import pytest

from p2pfed.core.config import CoreConfig, StandingConfig
from p2pfed.core.notices import PartActive, PartIdle
from p2pfed.identity import Identity
from robust.reputation.loss_gate import LossGatePolicy
from robust.reputation.policy import ReputationPolicy
from tests.core.peers import BERT, CARL, DORA, make_config, make_core, make_update
from tests.core.solo import Solo, Told, of_kind

GATE = StandingConfig(policy=ReputationPolicy(), loss_gate=LossGatePolicy())


def peer_of(config: CoreConfig) -> Solo:
    peer = Solo(make_core(config))
    peer.start()
    return peer


def told_in_round(peer: Solo, number: int, *senders: Identity) -> list[object]:
    """Return what the application is told of parts when rows of some neighbors are integrated."""
    for who in senders:
        peer.take(who, make_update(who, number + 1, round_number=number))
    effects = [*peer.train(), *peer.integrate()]
    notices = [told.notice for told in of_kind(effects, Told)]
    return [notice for notice in notices if isinstance(notice, PartIdle | PartActive)]


def test_reputation_of_two_neighbors_says_once_what_it_does_not_judge() -> None:
    peer = peer_of(make_config(neighbors=(BERT, CARL), standing=GATE))
    for who in (BERT, CARL):
        peer.greet(who)
    bans, gate = told_in_round(peer, 0, BERT, CARL)
    assert bans == PartIdle(
        part="reputation",
        reason="bans nobody, since it compares at least 3 neighbors; there are 2",
    )
    assert gate == PartIdle(
        part="reputation.loss_gate",
        reason="judges nobody, since it compares at least 3 neighbors; there are 2",
    )
    assert told_in_round(peer, 1, BERT, CARL) == []


def test_loss_gate_says_when_a_third_neighbor_has_come() -> None:
    peer = peer_of(make_config(neighbors=(BERT, CARL, DORA), standing=GATE))
    for who in (BERT, CARL):
        peer.greet(who)
    told_in_round(peer, 0, BERT, CARL)
    peer.greet(DORA)
    assert told_in_round(peer, 1, BERT) == [
        PartActive(part="reputation"),
        PartActive(part="reputation.loss_gate"),
    ]


def test_bans_are_active_where_two_neighbors_are_enough_to_compare() -> None:
    standing = StandingConfig(policy=ReputationPolicy(ban_peers_min=2))
    peer = peer_of(make_config(neighbors=(BERT, CARL), standing=standing))
    for who in (BERT, CARL):
        peer.greet(who)
    assert told_in_round(peer, 0, BERT, CARL) == []


def test_nothing_is_said_while_nobody_has_sent_a_row() -> None:
    peer = peer_of(make_config(neighbors=(BERT,), standing=GATE))
    assert told_in_round(peer, 0) == []


@pytest.mark.parametrize(("rows_max", "count"), [(1, 0), (2, 1)])
def test_prioritizer_says_that_it_leaves_nobody_out(rows_max: int, count: int) -> None:
    peer = peer_of(make_config(neighbors=(BERT, CARL), prioritizer_rows_max=rows_max))
    for who in (BERT, CARL):
        peer.greet(who)
    told = told_in_round(peer, 0, BERT, CARL)
    assert [notice.part for notice in told] == ["integration.prioritizer"] * count
