"""What neighbors know and we do not: asked for once, answered within bounds, believed never."""

from p2pfed.core.effects import DropPayload, SendFrame
from p2pfed.core.events import Command, CommandGiven, OffenceKind
from p2pfed.core.notices import IncarnationStarted
from p2pfed.core.timers import TimerKind
from p2pfed.identity import Identity
from p2pfed.limits import SIGHTINGS_MAX, Limits
from p2pfed.messages import (
    Announce,
    Deliver,
    Head,
    Heads,
    Hello,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Sighting,
    SignedHeader,
)
from p2pfed.wire.hashes import content_hash
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    DORA,
    LIFE,
    ROUNDS,
    flip,
    make_config,
    make_core,
    make_hello,
    make_update,
    stranger,
)
from tests.core.solo import Sent, Solo, Told, beat, messages_to

OTHER_DIGEST = content_hash(b"another vector")


def greeted(*, limits: Limits | None = None) -> Solo:
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL), limits=limits)))
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    return peer


def sighting(signed: SignedHeader) -> Sighting:
    header = signed.header
    return Sighting(
        author=header.author,
        incarnation=header.incarnation,
        sequence=header.sequence,
        update_id=signed.update_id,
    )


def page(*entries: Head, cursor: bool = False) -> Heads:
    last = entries[-1]
    return Heads(
        digest=OTHER_DIGEST,
        entries=entries,
        cursor=(last.author, last.incarnation) if cursor else None,
    )


def head(author: Identity, sequence: int, *, incarnation: int = LIFE) -> Head:
    return Head(author=author.peer, incarnation=incarnation, sequence=sequence)


# What we are told --------------------------------------------------------------------------


def test_a_differing_vector_is_asked_for_and_an_equal_one_is_not() -> None:
    peer = greeted()
    differs = Heads(digest=OTHER_DIGEST, entries=(), cursor=None)
    assert peer.receive(BERT, differs) == [Sent(BERT.peer, RequestHeads(after=None))]
    (mine,) = [m for m in messages_to(peer.greet(DORA), DORA) if isinstance(m, Heads)]
    assert peer.receive(BERT, mine) == []


def test_newer_heads_of_neighbors_are_asked_for() -> None:
    peer = greeted()
    peer.take(CARL, make_update(CARL, 3))
    effects = peer.receive(BERT, page(head(BERT, 4), head(CARL, 5), head(DORA, 9)))
    assert effects == [
        Sent(BERT.peer, RequestFull(author=BERT.peer)),
        Sent(BERT.peer, RequestFull(author=CARL.peer)),
    ]


def test_known_heads_are_not_asked_for() -> None:
    peer = greeted()
    peer.take(CARL, make_update(CARL, 3))
    assert peer.receive(BERT, page(head(CARL, 3))) == []
    assert peer.receive(BERT, page(head(CARL, 2))) == []


def test_the_next_page_is_asked_for() -> None:
    peer = greeted()
    effects = peer.receive(BERT, page(head(DORA, 9), cursor=True))
    assert effects == [Sent(BERT.peer, RequestHeads(after=(DORA.peer, LIFE)))]


def test_the_same_is_not_asked_twice_within_a_heartbeat() -> None:
    peer = greeted()
    assert peer.receive(BERT, page(head(CARL, 5))) != []
    assert peer.receive(BERT, page(head(CARL, 5))) == []
    assert peer.receive(BERT, page(head(CARL, 6))) == []
    peer.now_s += 2.0
    assert peer.receive(BERT, page(head(CARL, 5))) != []


def test_a_neighbor_that_is_back_is_asked_again_at_once() -> None:
    peer = greeted()
    assert peer.receive(BERT, page(head(CARL, 5))) != []
    peer.disconnect(BERT)
    peer.greet(BERT)
    assert peer.receive(BERT, page(head(CARL, 5))) != []


def test_an_older_life_is_not_asked_for() -> None:
    peer = greeted()
    peer.disconnect(CARL)
    peer.greet(CARL, make_hello(incarnation=LIFE + 1))
    peer.disconnect(CARL)
    assert peer.receive(BERT, page(head(CARL, 99))) == []


def test_questions_about_strangers_that_are_gone_take_no_room() -> None:
    peer = greeted()
    weights = []
    for number in range(40):
        peer.greet(stranger(number))
        peer.receive(BERT, beat(sighting(make_update(stranger(number)))))
        peer.disconnect(stranger(number))
        weights.append(len(peer.core._parts.anti_entropy._asked_s))
    assert set(weights) == {0}


def test_a_page_full_of_invented_lives_causes_one_question() -> None:
    peer = greeted()
    peer.disconnect(CARL)
    invented = [head(CARL, 1, incarnation=number) for number in range(100, 500)]
    assert peer.receive(BERT, page(*invented)) == [Sent(BERT.peer, RequestFull(author=CARL.peer))]


def test_a_sighting_of_something_newer_is_asked_for() -> None:
    peer = greeted()
    effects = peer.receive(BERT, beat(sighting(make_update(CARL, 2))))
    assert effects == [Sent(BERT.peer, RequestFull(author=CARL.peer))]


def test_only_the_author_itself_announces_a_new_life_of_it() -> None:
    peer = greeted()
    reborn = sighting(make_update(CARL, 1, incarnation=99))
    assert peer.receive(BERT, beat(reborn)) == []
    assert peer.receive(CARL, beat(reborn)) == [Sent(CARL.peer, RequestFull(author=CARL.peer))]


def test_two_ids_in_one_place_are_looked_into() -> None:
    peer = greeted()
    peer.take(CARL, make_update(CARL, 1, payload=b"to anna"), b"to anna")
    other = make_update(CARL, 1, payload=b"to bert")
    assert peer.receive(BERT, beat(sighting(other))) == [
        Sent(BERT.peer, RequestUpdates(update_ids=(other.update_id,)))
    ]


# What we tell ------------------------------------------------------------------------------


def test_heartbeats_mention_the_own_update_always_and_others_once() -> None:
    peer = greeted()
    (first,) = messages_to(peer.fire(TimerKind.HEARTBEAT), BERT)
    assert first == beat()
    own = messages_to(peer.train(), BERT)[0].update
    seen = make_update(CARL)
    peer.take(CARL, seen)
    (second,) = messages_to(peer.fire(TimerKind.HEARTBEAT), BERT)
    assert second == beat(sighting(own), sighting(seen))
    (third,) = messages_to(peer.fire(TimerKind.HEARTBEAT), BERT)
    assert third == beat(sighting(own))


def test_a_heartbeat_mentions_so_many_and_the_next_one_the_others() -> None:
    others = tuple(stranger(number) for number in range(SIGHTINGS_MAX + 4))
    peer = Solo(make_core(make_config(neighbors=others)))
    peer.start()
    for who in others:
        peer.greet(who)
        peer.take(who, make_update(who, payload=who.peer), who.peer)
    counts = []
    for _ in range(3):
        (message,) = messages_to(peer.fire(TimerKind.HEARTBEAT), others[0])
        counts.append(len(message.sightings))
    assert counts == [SIGHTINGS_MAX, 4, 0]


def test_hello_tells_a_neighbor_what_is_known_of_it() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT, 5))
    peer.disconnect(BERT)
    (hello,) = messages_to(peer.connect(BERT), BERT)
    assert isinstance(hello, Hello)
    assert hello.newest_of_yours == (LIFE, 5)


# What we are asked -------------------------------------------------------------------------


def test_the_version_vector_is_told() -> None:
    peer = greeted()
    own = messages_to(peer.train(), BERT)[0].update
    peer.take(CARL, make_update(CARL, 3))
    (answer,) = messages_to(peer.receive(BERT, RequestHeads(after=None)), BERT)
    life = own.header.incarnation
    assert answer.entries == (head(ANNA, 1, incarnation=life), head(CARL, 3))
    assert answer.cursor is None
    (answer,) = messages_to(peer.receive(BERT, RequestHeads(after=(ANNA.peer, life))), BERT)
    assert answer.entries == (head(CARL, 3),)
    assert peer.receive(BERT, RequestHeads(after=(CARL.peer, LIFE))) == []


def test_updates_are_given_whole_by_range_and_by_id() -> None:
    peer = greeted()
    update = make_update(CARL, 3)
    peer.take(CARL, update)
    given = [Sent(BERT.peer, Deliver(update=update, payload=b"row"))]
    in_range = RequestRange(author=CARL.peer, incarnation=LIFE, first=2, last=3)
    outside = RequestRange(author=CARL.peer, incarnation=LIFE, first=4, last=9)
    assert peer.receive(BERT, RequestFull(author=CARL.peer)) == given
    assert peer.receive(BERT, in_range) == given
    assert peer.receive(BERT, outside) == []
    assert peer.receive(BERT, RequestUpdates(update_ids=(update.update_id,))) == given
    assert peer.receive(BERT, RequestUpdates(update_ids=(bytes(32),))) == []


def test_own_updates_are_given() -> None:
    peer = greeted()
    (push,) = messages_to(peer.train(), BERT)
    given = [Sent(BERT.peer, push)]
    assert peer.receive(BERT, RequestFull(author=ANNA.peer)) == given
    by_id = RequestUpdates(update_ids=(push.update.update_id,))
    assert peer.receive(BERT, by_id) == given


def test_in_rounds_both_own_updates_that_can_matter_are_given() -> None:
    peer = Solo(make_core(make_config(neighbors=(), schedule=ROUNDS)))
    peer.start()
    peer.train(b"one")
    peer.integrate()
    peer.train(b"two")
    peer.greet(BERT)
    given = messages_to(peer.receive(BERT, RequestFull(author=ANNA.peer)), BERT)
    assert [message.payload for message in given] == [b"one", b"two"]


def test_an_update_in_doubt_is_not_given_but_its_header_is_proof() -> None:
    peer = greeted()
    update = make_update(CARL)
    peer.fetch(CARL, update)
    assert peer.receive(BERT, RequestFull(author=CARL.peer)) == []
    assert peer.receive(BERT, RequestUpdates(update_ids=(update.update_id,))) == [
        Sent(BERT.peer, Announce(update=update))
    ]


def test_answers_to_one_neighbor_are_bounded_and_others_still_get_theirs() -> None:
    peer = greeted(limits=Limits(answer_bytes_burst_max=100_000, answer_bytes_per_s_max=10_000.0))
    payload = bytes(30_000)
    peer.take(CARL, make_update(CARL, payload=payload), payload)
    request = RequestFull(author=CARL.peer)
    sent = [len(peer.receive(BERT, request)) for _ in range(10)]
    assert sum(sent) == 3
    peer.greet(DORA)
    assert len(peer.receive(DORA, request)) == 1
    peer.now_s += 10.0
    assert len(peer.receive(BERT, request)) == 1


# Claims about ourselves --------------------------------------------------------------------


def restored(sequence: int = 1) -> Solo:
    """Return a peer that goes on from its disk after some updates."""
    before = Solo(make_core(make_config(neighbors=(BERT, CARL))))
    before.start()
    for number in range(sequence):
        before.train(b"%d" % number)
        before.integrate()
    core = make_core(make_config(neighbors=(BERT, CARL)), entropy=b"next", records=before.disk)
    return Solo(core)


def own_life(peer: Solo) -> int:
    hello = messages_to(peer.connect(stranger(5)), stranger(5))[0]
    assert isinstance(hello, Hello)
    return hello.incarnation


def test_a_peer_on_an_old_backup_goes_on_under_a_new_incarnation() -> None:
    peer = restored()
    life = own_life(peer)
    peer.greet(CARL)
    ahead = Sighting(author=ANNA.peer, incarnation=life, sequence=7, update_id=bytes(32))
    effects = peer.receive(CARL, beat(ahead))
    assert own_life(peer) != life
    (told,) = [e for e in effects if isinstance(e, Told)]
    assert told.notice == IncarnationStarted(incarnation=own_life(peer))
    # What it had published is signed anew, so that nobody has to wait for the next round.
    (push,) = messages_to(effects, CARL)
    assert push.payload == b"0"
    assert push.update.header.incarnation == own_life(peer)
    assert push.update.header.sequence == 1


def test_an_old_backup_that_trained_on_unseen_is_behind_all_the_same() -> None:
    # It has used the same sequence numbers again, for other updates. Nobody has seen those yet.
    peer = restored()
    life = own_life(peer)
    peer.start()
    for number in range(2):
        peer.train(b"again %d" % number)
        peer.integrate()
    assert peer.core.status().sequence == 3
    peer.greet(BERT, make_hello(newest_of_yours=(life, 3)))
    assert own_life(peer) != life


def test_what_a_restored_peer_has_told_may_be_told_back_to_it() -> None:
    peer = restored()
    life = own_life(peer)
    peer.start()
    peer.greet(BERT, make_hello(newest_of_yours=(life, 1)))
    peer.train(b"one more")
    assert peer.core.status().sequence == 2
    peer.greet(CARL, make_hello(newest_of_yours=(life, 2)))
    assert own_life(peer) == life


def test_an_echo_of_an_own_update_that_is_unknown_here_counts_if_it_is_signed() -> None:
    peer = restored()
    life = own_life(peer)
    peer.greet(CARL)
    echo = make_update(ANNA, 9, incarnation=life)
    peer.receive(CARL, Announce(update=echo))
    assert own_life(peer) != life


def test_an_echo_that_is_not_signed_is_the_senders_offence_and_changes_nothing() -> None:
    peer = restored()
    life = own_life(peer)
    peer.greet(CARL)
    echo = flip(make_update(ANNA, 9, incarnation=life))
    (_, told) = peer.receive(CARL, Announce(update=echo))
    assert isinstance(told, Told)
    assert told.notice.kind is OffenceKind.SIGNATURE
    assert own_life(peer) == life


def test_what_is_known_here_changes_nothing() -> None:
    peer = restored(sequence=3)
    life = own_life(peer)
    peer.greet(CARL)
    behind = Sighting(author=ANNA.peer, incarnation=life, sequence=2, update_id=bytes(32))
    assert peer.receive(CARL, beat(behind)) == []
    assert own_life(peer) == life


def test_in_rounds_only_the_newest_update_is_signed_anew() -> None:
    config = make_config(neighbors=(BERT,), schedule=ROUNDS)
    before = Solo(make_core(config))
    before.start()
    before.greet(BERT)
    before.train(b"one")
    peer = Solo(make_core(config, entropy=b"next", records=before.disk))
    peer.start()
    peer.greet(BERT)
    peer.take(BERT, make_update(BERT, 9, round_number=8))
    peer.integrate()
    peer.train(b"two")
    lie = Sighting(author=ANNA.peer, incarnation=1, sequence=7, update_id=bytes(32))
    effects = peer.receive(BERT, beat(lie))
    assert DropPayload(content_hash=content_hash(b"one")) in effects
    (push,) = messages_to(effects, BERT)
    assert (push.payload, push.update.header.round) == (b"two", 1)


def test_a_peer_that_has_published_nothing_yet_changes_its_life_all_the_same() -> None:
    before = Solo(make_core(make_config(neighbors=(BERT,))))
    before.do(CommandGiven(command=Command.STOP))  # saves, and has nothing to show
    peer = Solo(make_core(entropy=b"next", records=before.disk))
    life = own_life(peer)
    peer.greet(BERT, make_hello(newest_of_yours=(life, 3)))
    assert own_life(peer) != life


def test_liars_change_our_incarnation_once_in_a_life_and_not_more() -> None:
    peer = restored()
    peer.greet(CARL)
    lives = set()
    for number in range(5):
        lie = Sighting(author=ANNA.peer, incarnation=number, sequence=7, update_id=bytes(32))
        peer.receive(CARL, beat(lie))
        lives.add(own_life(peer))
    assert len(lives) == 1


def test_a_first_life_believes_nobody() -> None:
    peer = greeted()
    life = own_life(peer)
    lie = Sighting(author=ANNA.peer, incarnation=life, sequence=7, update_id=bytes(32))
    assert peer.receive(CARL, beat(lie)) == []
    assert own_life(peer) == life


def test_the_new_incarnation_is_saved_before_anybody_sees_it() -> None:
    peer = restored()
    peer.greet(CARL)
    lie = Sighting(author=ANNA.peer, incarnation=1, sequence=7, update_id=bytes(32))
    effects = peer.receive(CARL, beat(lie))
    kinds = [type(effect).__name__ for effect in effects]
    assert kinds == ["Saved", "Told", "Sent"]
    assert isinstance(peer.effects[-1], SendFrame)
