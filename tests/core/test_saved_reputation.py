"""What a peer saves of reputation, and what its next life makes of it."""

import json
from dataclasses import replace

import pytest

from p2pfed.core.config import StandingConfig
from p2pfed.core.effects import Notify
from p2pfed.core.notices import ReputationLost
from tests.core.earning import (
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
from tests.core.peers import BERT, CARL, DORA
from tests.core.solo import PROGRESS, Saved, Solo, of_kind


def test_a_liar_is_banned_and_stays_so_after_a_restart() -> None:
    peer = make_peer()
    for number in range(8):
        do_round(peer, number, LIAR)
    assert caps(peer)[DORA.peer] == 0.0
    assert caps(peer)[BERT.peer] != 0.0
    reborn = make_peer(records=peer.disk)
    do_round(reborn, 8, HONEST)
    assert caps(reborn)[DORA.peer] == 0.0
    assert caps(reborn)[BERT.peer] != 0.0


DAMAGED = (b"\xff", b"[]", b'{"schema": 1}', b"[" * 100_000, b"9" * 5_000)


def complaints(peer: Solo) -> list[str]:
    """Return what the application was told of lost reputation."""
    notices = [it.notice for it in peer.effects if isinstance(it, Notify)]
    return [it.reason for it in notices if isinstance(it, ReputationLost)]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_damaged_reputation_is_reported_and_the_run_goes_on(damaged: bytes) -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    assert complaints(peer) == []
    reborn = make_peer(records={**peer.disk, key_of(DORA): damaged})
    (reason,) = complaints(reborn)
    assert reason.startswith("1 saved record of neighbors is damaged (reputation), they start anew")
    assert reasons(do_round(reborn, 1, HONEST)) == {
        **dict.fromkeys(HONEST, ""),
        DORA.peer: "stranger",
    }
    assert record_of(reborn, DORA)["first_round"] == 1
    assert record_of(reborn, BERT)["first_round"] == 0


def test_a_damaged_record_does_not_stay_on_disk() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    reborn = make_peer(records={**peer.disk, key_of(DORA): b"", "reputation/who": b""})
    reborn.disk.update(peer.disk)
    (reason,) = complaints(reborn)
    assert reason.startswith("2 saved records of neighbors are damaged")
    effects = do_round(reborn, 1, HONEST, senders=(BERT, CARL))
    assert key_of(DORA) not in reborn.disk
    assert "reputation/who" in of_kind(effects, Saved)[0].keys
    assert of_kind(do_round(reborn, 2, HONEST, senders=(BERT,)), Saved) == [
        Saved((*PROGRESS, key_of(BERT)), model_job=reborn.jobs[-2].job)
    ]


def test_a_record_under_the_name_of_another_is_damaged() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    reborn = make_peer(records={**peer.disk, key_of(DORA): peer.disk[key_of(BERT)]})
    assert "is about others" in complaints(reborn)[0]


def test_reputation_of_another_run_counts_nothing() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    snapshot = json.loads(peer.disk[key_of(DORA)])
    snapshot["genesis"] = "0" * 64
    reborn = make_peer(records={**peer.disk, key_of(DORA): json.dumps(snapshot).encode()})
    assert "genesis" in complaints(reborn)[0]
    assert reasons(do_round(reborn, 1, HONEST))[DORA.peer] == "stranger"


def test_the_disk_holds_what_the_ledger_remembers_and_nothing_else() -> None:
    policy = replace(POLICY, peers_max=2)
    peer = make_peer(StandingConfig(policy=policy))
    for number, senders in enumerate([NEIGHBORS, (DORA,), (BERT, CARL), (DORA, CARL), (BERT,)]):
        do_round(peer, number, LIAR, senders=senders)
        ledger = peer.core._parts.standing._ledger
        saved = {key: value for key, value in peer.disk.items() if key.startswith("reputation/")}
        remembered = [json.loads(value)["peers"] for value in saved.values()]
        assert {key: it for one in remembered for key, it in one.items()} == ledger.snapshot()[
            "peers"
        ]
        assert len(saved) <= 2


def test_who_does_not_fit_after_a_restart_is_removed_from_disk() -> None:
    peer = make_peer()
    do_round(peer, 0, HONEST)
    do_round(peer, 1, HONEST, senders=(BERT, CARL))
    small = StandingConfig(policy=replace(POLICY, peers_max=2))
    reborn = make_peer(small, records=peer.disk)
    reborn.disk.update(peer.disk)
    do_round(reborn, 2, HONEST, senders=(BERT,))
    assert key_of(DORA) not in reborn.disk
    assert {key_of(BERT), key_of(CARL)} <= set(reborn.disk)
    assert complaints(reborn) == []


def test_the_gate_remembers_over_a_restart() -> None:
    standing = StandingConfig(policy=POLICY, loss_gate=GATE)
    peer = make_peer(standing)
    for number in range(4):
        do_round(peer, number, HONEST, HARM)
    assert key_of(DORA, "loss-gate") in peer.disk
    reborn = make_peer(standing, records=peer.disk)
    effects = do_round(reborn, 4, HONEST)
    assert reasons(effects)[DORA.peer] == "loss-gate"
    assert complaints(reborn) == []


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_loss_gate_is_reported_and_reputation_stays(damaged: bytes) -> None:
    standing = StandingConfig(policy=POLICY, loss_gate=GATE)
    peer = make_peer(standing)
    for number in range(4):
        do_round(peer, number, HONEST, HARM)
    reborn = make_peer(standing, records={**peer.disk, key_of(DORA, "loss-gate"): damaged})
    assert len(complaints(reborn)) == 1
    # The gate turns nobody away; that Dora has earned nothing lately is not forgotten.
    assert reasons(do_round(reborn, 4, HONEST)) == dict.fromkeys(HONEST, "")
    assert record_of(reborn, DORA)["observations"] == 5
