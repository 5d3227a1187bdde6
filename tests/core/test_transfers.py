"""Payloads: fetched, resumed, given up, served and refused."""

import pytest

from p2pfed.core.effects import (
    AnswerPayload,
    CancelFetch,
    DropPayload,
    FetchPayload,
    StorePayload,
)
from p2pfed.core.events import OffenceKind, PayloadFailed, PayloadWanted, UploadEnded
from p2pfed.core.notices import PeerOffended, UpdateRejected
from p2pfed.core.timers import TimerKind
from p2pfed.identity import Identity
from p2pfed.limits import Limits
from p2pfed.messages import Announce, RequestFull, Sighting
from p2pfed.wire.hashes import content_hash
from tests.core.peers import (
    BERT,
    CARL,
    DORA,
    LIFE,
    RUN_ID,
    make_config,
    make_core,
    make_update,
    stranger,
)
from tests.core.solo import Cancelled, Sent, Set, Solo, Told, beat, of_kind

ROW = content_hash(b"row")


def greeted(*, limits: Limits | None = None) -> Solo:
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL), limits=limits)))
    peer.greet(BERT)
    peer.greet(CARL)
    return peer


def fetch(who: Identity, *, offset: int = 0) -> FetchPayload:
    return FetchPayload(peer=who.peer, content_hash=ROW, size_bytes=3, offset=offset)


def failed(
    who: Identity, *, bytes_done: int = 0, offence: OffenceKind | None = None
) -> PayloadFailed:
    return PayloadFailed(peer=who.peer, content_hash=ROW, bytes_done=bytes_done, offence=offence)


def wanted(who: Identity, token: int = 1, *, content_hash: bytes = ROW, offset: int = 0):
    return PayloadWanted(peer=who.peer, token=token, content_hash=content_hash, offset=offset)


# Fetching ----------------------------------------------------------------------------------


def test_a_broken_fetch_is_resumed_after_a_pause() -> None:
    peer = greeted()
    peer.receive(BERT, Announce(update=make_update(BERT)))
    assert peer.do(failed(BERT, bytes_done=2)) == [Set(TimerKind.REFETCH, 0.5)]
    assert peer.fire(TimerKind.REFETCH) == [fetch(BERT, offset=2)]


def test_another_holder_is_tried_next_and_from_the_start() -> None:
    # Bytes of one peer only: else nobody could be blamed for a wrong hash at the end.
    peer = greeted()
    peer.receive(BERT, Announce(update=make_update(CARL)))
    peer.receive(CARL, Announce(update=make_update(CARL)))
    peer.do(failed(BERT, bytes_done=2))
    assert peer.fire(TimerKind.REFETCH) == [fetch(CARL)]


def test_an_update_whose_payload_cannot_be_had_is_given_up() -> None:
    peer = greeted()
    peer.receive(BERT, Announce(update=make_update(BERT)))
    pauses = []
    for _ in range(4):
        (timer,) = peer.do(failed(BERT))
        pauses.append(timer.delay_s)
        peer.fire(TimerKind.REFETCH)
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert peer.do(failed(BERT)) == [
        Told(UpdateRejected(peer=BERT.peer, reason="payload could not be fetched"))
    ]


def test_an_update_given_up_is_asked_for_again_when_it_is_seen_again() -> None:
    peer = greeted()
    update = make_update(BERT)
    peer.receive(BERT, Announce(update=update))
    peer.do(failed(BERT, offence=OffenceKind.PAYLOAD_HASH))
    seen = Sighting(author=BERT.peer, incarnation=LIFE, sequence=1, update_id=update.update_id)
    assert peer.receive(BERT, beat(seen)) == [Sent(BERT.peer, RequestFull(author=BERT.peer))]
    assert peer.receive(BERT, Announce(update=update)) == [fetch(BERT)]


def test_whoever_serves_wrong_bytes_is_blamed_and_not_asked_again() -> None:
    peer = greeted()
    peer.receive(BERT, Announce(update=make_update(CARL)))
    peer.receive(CARL, Announce(update=make_update(CARL)))
    effects = peer.do(failed(BERT, offence=OffenceKind.PAYLOAD_HASH))
    (told,) = of_kind(effects, Told)
    assert isinstance(told.notice, PeerOffended)
    assert told.notice.peer == BERT.peer
    assert peer.fire(TimerKind.REFETCH) == [fetch(CARL)]
    assert of_kind(peer.do(failed(CARL)), Told) == []  # a broken line is nobody's fault
    assert peer.fire(TimerKind.REFETCH) == [fetch(CARL)]


def test_a_fetch_that_broke_with_its_link_goes_on_when_the_neighbor_is_back() -> None:
    peer = greeted()
    peer.receive(BERT, Announce(update=make_update(BERT)))
    peer.disconnect(BERT)
    peer.do(failed(BERT, bytes_done=1))
    assert peer.fire(TimerKind.REFETCH) == []
    assert fetch(BERT, offset=1) in peer.greet(BERT)


def test_an_update_whose_holder_is_gone_is_asked_for_elsewhere() -> None:
    peer = greeted()
    update = make_update(CARL)
    peer.disconnect(CARL)
    peer.greet(DORA)
    peer.receive(DORA, Announce(update=update))
    peer.disconnect(DORA)
    peer.do(failed(DORA))
    seen = Sighting(author=CARL.peer, incarnation=LIFE, sequence=1, update_id=update.update_id)
    assert peer.receive(BERT, beat(seen)) == [Sent(BERT.peer, RequestFull(author=CARL.peer))]


def test_fetches_are_bounded_per_peer_and_altogether() -> None:
    limits = Limits(fetches_per_peer_max=2, fetches_max=3)
    others = tuple(stranger(number) for number in range(4))
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL, *others), limits=limits)))
    for who in (BERT, CARL):
        peer.greet(who)
    for author in others:
        payload = author.peer
        update = make_update(author, payload=payload)
        peer.receive(BERT, Announce(update=update))
    assert len([e for e in peer.effects if isinstance(e, FetchPayload)]) == 2
    for author in others:
        peer.receive(CARL, Announce(update=make_update(author, payload=author.peer)))
    assert len([e for e in peer.effects if isinstance(e, FetchPayload)]) == 3


def test_payloads_are_fetched_only_while_the_store_has_room() -> None:
    peer = greeted(limits=Limits(payload_store_bytes_max=5))
    peer.receive(BERT, Announce(update=make_update(BERT)))
    other = make_update(CARL, payload=b"other")
    assert peer.receive(CARL, Announce(update=other)) == []
    effects = peer.do(failed(BERT, offence=OffenceKind.PAYLOAD_SIZE))
    assert of_kind(effects, FetchPayload) == [
        FetchPayload(peer=CARL.peer, content_hash=content_hash(b"other"), size_bytes=5, offset=0)
    ]


def test_an_inline_payload_ends_the_pause_of_a_fetch() -> None:
    peer = greeted()
    peer.receive(BERT, Announce(update=make_update(BERT)))
    peer.do(failed(BERT, bytes_done=1))
    effects = peer.deliver(BERT, make_update(BERT))
    assert effects == [
        Cancelled(TimerKind.REFETCH),
        CancelFetch(content_hash=ROW),
        StorePayload(content_hash=ROW, payload=b"row"),
    ]


def test_late_and_foreign_answers_are_ignored() -> None:
    peer = greeted()
    assert peer.do(failed(BERT)) == []
    assert peer.do(failed(BERT, offence=OffenceKind.PAYLOAD_HASH)) == []
    peer.receive(BERT, Announce(update=make_update(BERT)))
    assert peer.do(failed(CARL)) == []
    assert peer.counted("stale.payload") == 3


def test_a_payload_that_nobody_waits_for_any_more_is_dropped() -> None:
    peer = greeted()
    peer.greet(DORA)
    peer.receive(DORA, Announce(update=make_update(DORA)))
    assert CancelFetch(content_hash=ROW) in peer.disconnect(DORA)
    assert peer.arrive(ROW) == [DropPayload(content_hash=ROW)]


# Serving -----------------------------------------------------------------------------------


def test_an_own_payload_is_served_from_any_offset() -> None:
    peer = greeted()
    peer.start()
    peer.train(b"row", inline=False)
    assert peer.do(wanted(BERT, offset=2)) == [AnswerPayload(token=1, content_hash=ROW, offset=2)]


def test_a_valid_payload_of_another_is_served_and_one_in_doubt_is_not() -> None:
    peer = greeted()
    peer.fetch(BERT, make_update(BERT))
    (refused,) = peer.do(wanted(CARL, 1))
    assert refused.refusal == "not held here"
    peer.validate()
    (served,) = peer.do(wanted(CARL, 2))
    assert served.offset == 0


@pytest.mark.parametrize("offset", [-1, 4, 2**60])
def test_an_impossible_offset_is_refused(offset: int) -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT))
    (answer,) = peer.do(wanted(CARL, offset=offset))
    assert answer.refusal == f"offset {offset} is not within 3 bytes"


def test_strangers_get_the_genesis_and_nothing_else() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT))
    (answer,) = peer.do(wanted(DORA))
    assert answer.refusal == "say hello first"
    (answer,) = peer.do(wanted(DORA, 2, content_hash=RUN_ID))
    assert answer.offset == 0


def test_uploads_to_one_peer_are_bounded_and_their_places_come_free() -> None:
    peer = greeted(limits=Limits(uploads_per_peer_max=1))
    peer.take(BERT, make_update(BERT))
    peer.do(wanted(CARL, 1))
    (refused,) = peer.do(wanted(CARL, 2))
    assert refused.refusal == "1 transfers to this peer are under way"
    (served,) = peer.do(wanted(BERT, 3))
    assert served.offset == 0
    assert peer.do(UploadEnded(peer=CARL.peer, token=1)) == []
    (served,) = peer.do(wanted(CARL, 4))
    assert served.offset == 0
    peer.do(UploadEnded(peer=CARL.peer, token=77))
    assert peer.counted("stale.upload") == 1


def test_newcomers_cannot_take_all_uploads() -> None:
    peer = greeted(limits=Limits(stranger_uploads_max=2))
    peer.take(BERT, make_update(BERT))
    answers = [
        peer.do(wanted(stranger(number), number, content_hash=RUN_ID))[0] for number in range(3)
    ]
    assert [answer.offset for answer in answers] == [0, 0, None]
    (served,) = peer.do(wanted(CARL, 9))
    assert served.offset == 0
