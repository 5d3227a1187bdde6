"""Two updates under one sequence number: found, proven, spread, and never forgiven."""

import math
from dataclasses import replace

import pytest

from p2pfed.core.config import UpdateFamily
from p2pfed.core.effects import Disconnect, DropPayload
from p2pfed.core.equivocation import make_evidence
from p2pfed.core.events import OffenceKind
from p2pfed.core.notices import NeighborLost, PeerOffended
from p2pfed.core.timers import TimerKind
from p2pfed.messages import Announce, Evidence, Goodbye, GoodbyeReason, RequestUpdates
from p2pfed.wire.hashes import content_hash
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    DORA,
    LIFE,
    flip,
    make_config,
    make_core,
    make_update,
    stranger,
)
from tests.core.solo import Saved, Sent, Set, Solo, Told, messages_to, of_kind

ONE = make_update(BERT, 4, payload=b"row")
OTHER = make_update(BERT, 4, payload=b"another row")
PROOF = make_evidence(ONE, OTHER)
FOUND = PeerOffended(
    peer=BERT.peer,
    kind=OffenceKind.EQUIVOCATION,
    detail="two updates with sequence 4",
    banned_s=math.inf,
)


def greeted() -> Solo:
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL))))
    peer.greet(BERT)
    peer.greet(CARL)
    return peer


def test_two_updates_in_one_place_are_proven_saved_and_spread() -> None:
    peer = greeted()
    peer.take(BERT, ONE)
    assert peer.receive(CARL, Announce(update=OTHER)) == [
        Saved((f"author/{BERT.peer.hex()}",)),
        Told(FOUND),
        Sent(CARL.peer, PROOF),
        Sent(BERT.peer, Goodbye(reason=GoodbyeReason.BANNED, text="banned")),
        Disconnect(peer=BERT.peer, reason="banned"),
        Told(NeighborLost(peer=BERT.peer, reason="banned")),
        Set(TimerKind.REDIAL),
        DropPayload(content_hash=content_hash(b"row")),
    ]


def test_whoever_passes_on_a_proof_is_not_blamed_and_it_goes_round_once() -> None:
    peer = greeted()
    assert Told(FOUND) in peer.receive(CARL, PROOF)
    assert peer.receive(CARL, PROOF) == []
    assert peer.counted("duplicate.Evidence") == 1


@pytest.mark.parametrize("family", UpdateFamily)
def test_whoever_comes_later_is_given_the_proof_where_logs_are_kept(family: UpdateFamily) -> None:
    config = replace(make_config(neighbors=(BERT, CARL, DORA)), family=family)
    peer = Solo(make_core(config))
    peer.greet(CARL)
    peer.receive(CARL, PROOF)
    told = [it for it in messages_to(peer.greet(DORA), DORA) if isinstance(it, Evidence)]
    assert told == ([PROOF] if family is UpdateFamily.LEDGER else [])


def test_a_proven_liar_is_never_heard_again_not_even_after_a_restart() -> None:
    peer = greeted()
    peer.receive(CARL, PROOF)
    again = Solo(make_core(make_config(neighbors=(BERT, CARL)), records=peer.disk))
    again.now_s += 1e9
    assert isinstance(messages_to(again.connect(BERT), BERT)[0], Goodbye)
    again.greet(CARL)
    assert again.deliver(CARL, make_update(BERT, 9)) == []
    assert again.receive(CARL, PROOF) == []


@pytest.mark.parametrize(
    ("proof", "kind"),
    [
        (make_evidence(ONE, flip(OTHER)), OffenceKind.SIGNATURE),
        (make_evidence(flip(ONE), OTHER), OffenceKind.SIGNATURE),
        (
            make_evidence(
                make_update(BERT, 4, run_id=bytes(32)),
                make_update(BERT, 4, run_id=bytes(32), payload=b"x"),
            ),
            OffenceKind.MISMATCH,
        ),
    ],
)
def test_a_proof_that_proves_nothing_is_the_senders_offence(
    proof: Evidence, kind: OffenceKind
) -> None:
    peer = greeted()
    (told,) = of_kind(peer.receive(CARL, proof), Told)
    assert (told.notice.peer, told.notice.kind) == (CARL.peer, kind)
    assert BERT.peer in peer.core.status().neighbors


def test_proofs_against_peers_that_are_no_neighbors_cost_nothing() -> None:
    peer = greeted()
    proof = make_evidence(make_update(DORA, 4), make_update(DORA, 4, payload=b"x"))
    assert peer.receive(CARL, proof) == []
    assert peer.disk == {}


def test_updates_of_different_lives_are_no_proof() -> None:
    peer = greeted()
    peer.take(BERT, ONE)
    reborn = make_update(BERT, 4, payload=b"x", incarnation=LIFE + 1)
    assert of_kind(peer.deliver(BERT, reborn, b"x"), Told) == []


def test_the_other_header_is_given_when_it_is_asked_for() -> None:
    # Carl has seen the one and we the other: his question gets the header that makes his proof.
    peer = greeted()
    peer.take(BERT, ONE)
    peer.take(
        BERT, make_update(BERT, 5, payload=b"later"), b"later"
    )  # the payload of the first is gone; its header is remembered
    assert peer.receive(CARL, RequestUpdates(update_ids=(ONE.update_id,))) == [
        Sent(CARL.peer, Announce(update=ONE))
    ]


def test_replays_of_old_updates_do_not_push_the_newest_out_of_memory() -> None:
    peer = greeted()
    newest = make_update(BERT, 1_000)
    peer.take(BERT, newest)
    for sequence in range(1, 100):
        peer.receive(CARL, Announce(update=make_update(BERT, sequence)))
    assert peer.deliver(CARL, newest) == []
    fork = make_update(BERT, 1_000, payload=b"x")
    assert of_kind(peer.deliver(CARL, fork, b"x"), Told)[0].notice.banned_s == math.inf


def test_a_proof_against_the_own_identity_is_told_to_the_operator_once() -> None:
    peer = greeted()
    proof = make_evidence(make_update(ANNA, 4), make_update(ANNA, 4, payload=b"x"))
    (told,) = of_kind(peer.receive(CARL, proof), Told)
    assert told.notice.peer == ANNA.peer
    assert "take a new identity" in told.notice.detail
    assert peer.receive(CARL, proof) == []


def test_a_stranger_that_lies_is_banned_too() -> None:
    peer = greeted()
    liar = stranger(1)
    peer.greet(liar)
    peer.take(liar, make_update(liar, 1, payload=b"a"), b"a")
    peer.deliver(liar, make_update(liar, 1, payload=b"b"), b"b")
    assert isinstance(messages_to(peer.connect(liar), liar)[0], Goodbye)
