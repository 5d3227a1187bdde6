"""Reputation in the protocol: looked at first, and counted later."""

import pytest

from p2pfed.core.config import StandingConfig
from p2pfed.core.effects import StartIntegration
from p2pfed.core.events import FrameReceived
from p2pfed.identity import Identity
from p2pfed.limits import Limits
from robust.reputation.loss_gate import LossGatePolicy
from tests.core.earning import (
    ALIKE,
    GATE,
    HARM,
    HONEST,
    LIAR,
    NEIGHBORS,
    POLICY,
    caps,
    do_round,
    key_of,
    make_peer,
    reasons,
    record_of,
)
from tests.core.peers import BERT, CARL, DORA, make_update, stranger
from tests.core.solo import PROGRESS, Saved, Solo, beat, of_kind


def test_without_a_policy_everybody_counts_alike() -> None:
    peer = make_peer(None)
    effects = do_round(peer, 0, HONEST)
    assert caps(peer) == dict.fromkeys(HONEST)
    assert of_kind(effects, Saved) == [Saved(PROGRESS, model_job=2)]


def test_a_stranger_is_looked_at_before_it_counts() -> None:
    peer = make_peer()
    effects = do_round(peer, 0, HONEST)
    assert caps(peer) == dict.fromkeys(HONEST, 0.0)
    # The same transaction as the model that depends on it.
    keys = (*PROGRESS, *(key_of(neighbor) for neighbor in NEIGHBORS))
    assert of_kind(effects, Saved) == [Saved(keys, model_job=2)]
    for number in range(1, 4):
        do_round(peer, number, HONEST)
    assert min(cap for cap in caps(peer).values() if cap is not None) > 0.1


def test_what_nobody_compared_is_no_observation() -> None:
    peer = make_peer()
    for number in range(8):
        for neighbor in NEIGHBORS:
            peer.take(neighbor, make_update(neighbor, number + 1, round_number=number))
        peer.train()
        peer.integrate()  # its verdicts have no agreement
    assert caps(peer) == dict.fromkeys(HONEST, 0.0)


def test_verdicts_say_why_a_neighbor_counts_nothing() -> None:
    peer = make_peer()
    assert reasons(do_round(peer, 0, LIAR)) == dict.fromkeys(HONEST, "stranger")
    assert reasons(do_round(peer, 1, LIAR)) == {**dict.fromkeys(HONEST, ""), DORA.peer: "unproven"}
    for number in range(2, 8):
        effects = do_round(peer, number, LIAR)
    assert reasons(effects) == {BERT.peer: "", CARL.peer: "", DORA.peer: "banned"}


def test_a_row_that_is_used_again_earns_nothing_more_and_counts_as_it_may() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    for number in range(1, 4):
        do_round(peer, number, HONEST, senders=(BERT, CARL))
    row = peer.last(StartIntegration).rows[-1]
    assert (row.peer, row.staleness) == (DORA.peer, 3)
    assert record_of(peer, DORA)["observations"] == 1
    assert record_of(peer, BERT)["observations"] == 4
    # It agreed once, and newcomers count half at most.
    assert row.mass_max == pytest.approx(1.0 / 9.0, abs=0.03)


def test_a_row_that_is_used_again_is_probed_no_more() -> None:
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    for number in range(2):
        do_round(peer, number, HONEST, HARM)
    for number in range(2, 5):
        do_round(peer, number, HONEST, HARM, senders=(BERT, CARL))
    probed = {row.peer: row.is_probed for row in peer.last(StartIntegration).rows}
    assert probed == {BERT.peer: True, CARL.peer: True, DORA.peer: False}
    assert record_of(peer, DORA, "loss-gate")["scores"] == 1


# The loss gate --------------------------------------------------------------------------------


def test_who_harms_the_held_out_loss_is_turned_away_and_probed_on() -> None:
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    for number in range(4):
        effects = do_round(peer, number, HONEST, HARM)
    assert caps(peer)[DORA.peer] == 0.0
    assert reasons(effects)[DORA.peer] == "loss-gate"
    assert all(row.is_probed for row in peer.last(StartIntegration).rows)
    # Its agreement alone, which is as good as that of the others, would have kept it in.
    ungated = make_peer()
    for number in range(4):
        do_round(ungated, number, HONEST, HARM)
    assert caps(ungated)[DORA.peer] > 0.1
    assert not any(row.is_probed for row in ungated.last(StartIntegration).rows)


def test_whom_the_gate_turns_away_earns_nothing() -> None:
    gated = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    for number in range(12):
        do_round(gated, number, HONEST, HARM)
    # Forgiven by the gate at once, but what it did not earn is missing.
    for number in range(12, 16):
        do_round(gated, number, HONEST, dict.fromkeys(HONEST, 0.1))
    assert 0.0 < caps(gated)[DORA.peer] < 0.9 * caps(gated)[BERT.peer]


def test_few_neighbors_are_probed_in_a_round_and_all_in_turn() -> None:
    gate = LossGatePolicy(probe_count=2)
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=gate))
    probed = []
    do_round(peer, 0, HONEST, HARM)  # of strangers
    assert not any(row.is_probed for row in peer.last(StartIntegration).rows)
    for number in range(2, 8):
        do_round(peer, number, HONEST, HARM)
        rows = [row for row in peer.last(StartIntegration).rows if row.is_probed]
        assert len(rows) == 2
        probed.append({row.peer for row in rows})
    assert [first | second for first, second in zip(probed[::2], probed[1::2], strict=True)] == [
        set(HONEST)
    ] * 3


# Groups ---------------------------------------------------------------------------------------

ADDRESSES = {
    BERT.peer: "/ip4/198.51.100.7/tcp/4001",
    CARL.peer: "/ip4/203.0.113.8/tcp/4001",
    DORA.peer: "/ip4/203.0.113.9/tcp/4001",
}


@pytest.mark.parametrize("groups_by_address", [False, True])
def test_neighbors_of_one_block_share_a_bound(groups_by_address: bool) -> None:
    standing = StandingConfig(policy=POLICY, groups_by_address=groups_by_address)
    peer = make_peer(standing, addresses=ADDRESSES)
    for number in range(6):
        do_round(peer, number, dict.fromkeys(HONEST, 0.9))
    shares = caps(peer)
    together = shares[CARL.peer] + shares[DORA.peer]
    assert shares[BERT.peer] == pytest.approx(0.25, abs=0.06)
    assert (together <= 0.3 + 1e-9) == groups_by_address


def test_an_address_that_is_none_puts_nobody_into_a_group() -> None:
    standing = StandingConfig(policy=POLICY, groups_by_address=True)
    odd = dict(zip(HONEST, ["", "/dns4/example.org/tcp/1", "/ip6/fe80::1%eth0/tcp/1"], strict=True))
    peer = make_peer(standing, addresses=odd)
    for number in range(6):
        do_round(peer, number, dict.fromkeys(HONEST, 0.9))
    assert len(set(caps(peer).values())) == 1


# Validity -------------------------------------------------------------------------------------


def offend(peer: Solo, who: Identity) -> None:
    peer.do(FrameReceived(peer=who.peer, frame=b"no frame"))


def earned(peer: Solo, who: Identity) -> float:
    return record_of(peer, who)["earned"]


def test_the_update_after_an_offence_earns_nothing_and_the_next_one_as_usual() -> None:
    peer = make_peer()
    offend(peer, DORA)
    do_round(peer, 0, ALIKE)
    assert (earned(peer, DORA), earned(peer, BERT)) == (0.0, pytest.approx(0.05 * 0.9))
    do_round(peer, 1, ALIKE)
    assert earned(peer, DORA) == pytest.approx(0.05 * 0.9)


def test_no_number_of_good_messages_makes_up_for_an_offence() -> None:
    peer = make_peer()
    offend(peer, DORA)
    for _ in range(50):
        peer.receive(DORA, beat())
    do_round(peer, 0, ALIKE)
    assert earned(peer, DORA) == 0.0


@pytest.mark.parametrize("neighbors", [NEIGHBORS, NEIGHBORS[:2]], ids=["configured", "stranger"])
def test_a_new_connection_does_not_make_up_for_an_offence(neighbors: tuple[Identity, ...]) -> None:
    peer = make_peer(neighbors=neighbors)
    offend(peer, DORA)
    peer.disconnect(DORA)
    peer.greet(DORA)
    do_round(peer, 0, ALIKE)
    assert (earned(peer, DORA), earned(peer, BERT)) == (0.0, pytest.approx(0.05 * 0.9))


def test_the_oldest_offence_is_forgotten_when_too_many_offend() -> None:
    peer = make_peer(limits=Limits(authors_max=100))
    offend(peer, DORA)
    offend(peer, CARL)
    for number in range(99):
        peer.greet(stranger(number))
        offend(peer, stranger(number))
        peer.disconnect(stranger(number))
    do_round(peer, 0, ALIKE)
    assert earned(peer, DORA) > 0.0
    assert earned(peer, CARL) == 0.0


def test_who_never_agreed_is_worthless_among_two_neighbors() -> None:
    peer = make_peer(neighbors=(CARL, DORA))
    for number in range(4):
        effects = do_round(peer, number, LIAR, senders=(CARL, DORA))
    assert reasons(effects)[DORA.peer] == "worthless"
    assert caps(peer)[DORA.peer] == 0.0


def test_standings_are_told_of_those_with_a_connection_or_a_row() -> None:
    assert make_peer(None).core.standings() is None
    peer = make_peer()
    before = {it.peer: (it.status, it.reputation, it.mass_max) for it in peer.core.standings()}
    assert before == dict.fromkeys(HONEST, ("stranger", 0.0, None))
    for number in range(4):
        do_round(peer, number, LIAR)
    told = {it.peer: it for it in peer.core.standings()}
    assert list(told) == sorted(HONEST)
    assert {it.peer: it.mass_max for it in told.values()} == caps(peer)
    assert (told[BERT.peer].status, told[DORA.peer].status) == ("established", "banned")
    assert told[BERT.peer].reputation > told[DORA.peer].reputation == 0.0


def test_standing_says_whom_the_gate_turned_away() -> None:
    peer = make_peer(StandingConfig(policy=POLICY, loss_gate=GATE))
    for number in range(8):
        do_round(peer, number, ALIKE, HARM)
    assert {it.peer: it.status for it in peer.core.standings()}[DORA.peer] == "loss-gate"
