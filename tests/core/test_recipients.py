"""Own updates for some neighbors, drawn anew for each: nobody else gets them, nor from others."""

from collections import Counter

import pytest

from p2pfed.core.config import ScheduleConfig, StandingConfig
from p2pfed.core.effects import AnswerPayload
from p2pfed.core.events import PayloadWanted, UploadEnded
from p2pfed.core.timers import TimerKind
from p2pfed.identity import Identity, PeerId
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Head,
    Heads,
    Heartbeat,
    RequestFull,
    RequestUpdates,
    Sighting,
    SignedHeader,
)
from p2pfed.wire.hashes import content_hash
from tests.core.earning import POLICY
from tests.core.inspection import state_of
from tests.core.peers import ANNA, BERT, LIFE, make_config, make_core, make_update, stranger
from tests.core.solo import Sent, Solo, beat, messages_to, of_kind

EIGHT = tuple(sorted((stranger(number) for number in range(8)), key=lambda one: one.peer))
ONE, OTHER = EIGHT[:2]
TWO_OF_THEM = ScheduleConfig(rounds_max=100, evaluate_every_rounds=0, recipients=2)


def make_peer(
    schedule: ScheduleConfig = TWO_OF_THEM,
    *,
    identity: Identity = ANNA,
    greeted: tuple[Identity, ...] = EIGHT,
    standing: StandingConfig | None = None,
    entropy: bytes = b"first life",
    records: dict[str, bytes] | None = None,
) -> Solo:
    config = make_config(neighbors=EIGHT, schedule=schedule, standing=standing)
    peer = Solo(make_core(config, identity=identity, entropy=entropy, records=records))
    peer.start()
    for neighbor in greeted:
        peer.greet(neighbor)
    return peer


def offered(effects: list[object], author: Identity = ANNA) -> list[PeerId]:
    """Return whom an own update was offered to."""
    return [
        it.peer
        for it in of_kind(effects, Sent)
        if isinstance(it.message, Deliver | Announce)
        and it.message.update.header.author == author.peer
    ]


def drawn_in(peer: Solo, rounds: int, author: Identity = ANNA) -> list[list[PeerId]]:
    drawn = []
    for number in range(rounds):
        drawn.append(offered(peer.train(b"own %d" % number), author))
        peer.integrate()
    return drawn


def may_pull(peer: Solo, who: Identity, payload: bytes = b"own") -> bool:
    """Ask for the newest own update and for its payload."""
    peer.now_s += 60.0
    asked = peer.receive(who, RequestFull(author=ANNA.peer))
    wanted = PayloadWanted(peer=who.peer, token=1, content_hash=content_hash(payload), offset=0)
    (answer,) = of_kind(peer.do(wanted), AnswerPayload)
    peer.do(UploadEnded(peer=who.peer, token=1))
    assert (answer.offset is None) == (answer.refusal == "not for this peer")
    assert len(offered(asked)) == (answer.offset is not None)
    return answer.offset is not None


def sighting(signed: SignedHeader) -> Sighting:
    header = signed.header
    return Sighting(
        author=header.author,
        incarnation=header.incarnation,
        sequence=header.sequence,
        update_id=signed.update_id,
    )


# Who is drawn ------------------------------------------------------------------------------


def test_by_default_all_are_offered_every_update() -> None:
    everybody = [neighbor.peer for neighbor in EIGHT]
    assert drawn_in(make_peer(ScheduleConfig()), 1) == [everybody]


def test_so_many_are_drawn_anew_for_each_update_and_all_as_often() -> None:
    drawn = drawn_in(make_peer(), 80)
    assert {len(peers) for peers in drawn} == {2}
    counts = Counter(peer for peers in drawn for peer in peers)
    assert len(counts) == 8
    assert max(counts.values()) <= 32  # of 20 expected, with a standard deviation of 4
    assert len({tuple(peers) for peers in drawn}) > 20  # of 28 pairs


def test_where_fewer_are_connected_all_are_drawn() -> None:
    assert drawn_in(make_peer(greeted=(ONE,)), 2) == [[ONE.peer], [ONE.peer]]


def test_places_that_nobody_had_are_for_those_who_come_first() -> None:
    peer = make_peer(greeted=(ONE,))
    peer.train()
    got = [may_pull(peer, who) for who in EIGHT[1:4] if peer.greet(who) is not None]
    assert got == [True, False, False]


def test_equal_keys_and_places_draw_alike_and_other_keys_do_not() -> None:
    drawn = drawn_in(make_peer(), 5)
    assert drawn_in(make_peer(), 5) == drawn
    assert drawn_in(make_peer(identity=BERT), 5, author=BERT) != drawn


def test_a_restart_draws_for_the_same_update_the_same_neighbors() -> None:
    peer = make_peer()
    drawn_in(peer, 3)
    records = dict(peer.disk)
    expected = drawn_in(peer, 3)
    assert len(expected[0]) == 2
    assert drawn_in(make_peer(entropy=b"second life", records=records), 3) == expected


def test_a_restart_serves_an_update_of_the_life_before_to_those_that_it_was_for() -> None:
    peer = make_peer()
    peer.train(b"own")
    expected = {who.peer for who in EIGHT if may_pull(peer, who)}
    assert len(expected) == 2
    reborn = make_peer(entropy=b"second life", records=peer.disk, greeted=())
    for who in EIGHT:
        reborn.greet(who)
    assert {who.peer for who in EIGHT if may_pull(reborn, who)} == expected


def test_of_neighbors_with_quotas_those_are_drawn_that_have_earned_it() -> None:
    peer = make_peer(standing=StandingConfig(policy=POLICY, has_quotas=True))
    assert {len(peers) for peers in drawn_in(peer, 5)} == {2}


# What others get ---------------------------------------------------------------------------


def test_who_was_not_drawn_cannot_ask_for_it() -> None:
    peer = make_peer()
    drawn = offered(peer.train(b"own"))
    assert [who.peer for who in EIGHT if may_pull(peer, who)] == drawn


def test_heartbeats_mention_an_update_to_those_whom_it_is_for() -> None:
    peer = make_peer()
    drawn = offered(peer.train())
    beats = of_kind(peer.fire(TimerKind.HEARTBEAT), Sent)
    told = [
        it.peer
        for it in beats
        if isinstance(it.message, Heartbeat)
        and ANNA.peer in [seen.author for seen in it.message.sightings]
    ]
    assert told == drawn
    assert {it.peer for it in beats} == {who.peer for who in EIGHT}


def test_updates_of_others_are_mentioned_but_neither_passed_on_nor_asked_for() -> None:
    peer = make_peer()
    signed = make_update(ONE)
    peer.take(ONE, signed)
    assert messages_to(peer.fire(TimerKind.HEARTBEAT), OTHER) == [beat(sighting(signed))]
    peer.now_s += 60.0
    assert peer.receive(OTHER, RequestFull(author=ONE.peer)) == []
    wanted = PayloadWanted(peer=OTHER.peer, token=1, content_hash=content_hash(b"row"), offset=0)
    (answer,) = peer.do(wanted)
    assert answer.refusal == "updates of others are not passed on here"
    newer = make_update(ONE, 2)
    assert peer.receive(OTHER, beat(sighting(newer))) == []
    page = Heads(
        digest=content_hash(b"another vector"),
        entries=(Head(author=ONE.peer, incarnation=LIFE, sequence=2),),
        cursor=None,
    )
    assert peer.receive(OTHER, page) == []


def test_an_offer_that_was_lost_is_asked_of_its_author() -> None:
    peer = make_peer()
    effects = peer.receive(ONE, beat(sighting(make_update(ONE))))
    assert effects == [Sent(ONE.peer, RequestFull(author=ONE.peer))]


def test_who_tells_neighbors_different_things_is_found_out_all_the_same() -> None:
    peer = make_peer()
    one, fork = make_update(ONE), make_update(ONE, payload=b"fork")
    peer.take(ONE, one)
    asked = peer.receive(OTHER, beat(sighting(fork)))
    assert asked == [Sent(OTHER.peer, RequestUpdates(update_ids=(fork.update_id,)))]
    effects = peer.receive(OTHER, Announce(update=fork))
    assert [it for it in messages_to(effects, OTHER) if isinstance(it, Evidence)]


def test_who_is_asked_for_a_header_gives_it_as_proof_without_the_payload() -> None:
    peer = make_peer()
    signed = make_update(ONE)
    peer.take(ONE, signed)
    effects = peer.receive(OTHER, RequestUpdates(update_ids=(signed.update_id,)))
    assert effects == [Sent(OTHER.peer, Announce(update=signed))]


@pytest.mark.parametrize("greeted", [EIGHT, (ONE,)], ids=["drawn", "places left"])
def test_asking_twice_changes_nothing_the_second_time(greeted: tuple[Identity, ...]) -> None:
    peer = make_peer(greeted=greeted)
    peer.train()
    if OTHER not in greeted:
        peer.greet(OTHER)
    for message in (RequestFull(author=ANNA.peer), beat()):
        peer.receive(OTHER, message)
        once = state_of(peer.core)
        peer.receive(OTHER, message)
        assert state_of(peer.core) == once
