"""Entries of logs that did not come: noticed whatever came after them, asked for in time."""

from dataclasses import replace

from msgspec import structs

from p2pfed.core.config import ScheduleConfig, UpdateFamily
from p2pfed.core.effects import StartIntegration
from p2pfed.core.events import GAP, IntegrationFinished, PayloadFailed, Verdict
from p2pfed.core.timers import TimerKind
from p2pfed.identity import Identity
from p2pfed.messages import (
    Announce,
    Head,
    Heads,
    Heartbeat,
    RequestHeads,
    RequestRange,
    SignedHeader,
    UpdateKind,
)
from p2pfed.wire import frames, headers
from tests.core.peers import BERT, CARL, DORA, LIFE, make_config, make_core, make_update
from tests.core.solo import Sent, Solo, messages_to, of_kind


def greeted() -> Solo:
    schedule = ScheduleConfig(rounds_max=50, evaluate_every_rounds=0)
    config = make_config(neighbors=(BERT, CARL), schedule=schedule)
    peer = Solo(make_core(replace(config, family=UpdateFamily.LEDGER)))
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    return peer


def entry(sequence: int, author: Identity = BERT) -> SignedHeader:
    header = make_update(author, sequence, payload=b"row").header
    return headers.sign(structs.replace(header, kind=UpdateKind.OPERATION), author)


def page(sequence: int, author: Identity = BERT) -> Heads:
    heads = (Head(author=author.peer, incarnation=LIFE, sequence=sequence),)
    return Heads(digest=frames.heads_digest(heads), entries=heads, cursor=None)


def wanted(first: int, last: int, author: Identity = BERT) -> RequestRange:
    return RequestRange(author=author.peer, incarnation=LIFE, first=first, last=last)


def integrate_in_vain(peer: Solo, payload: bytes) -> list[object]:
    """Finish a round in which no row could be followed."""
    peer.train(payload)
    started = peer.last(StartIntegration)
    verdicts = tuple(Verdict(peer=row.peer, weight=0.0, reason=GAP) for row in started.rows)
    return of_kind(
        peer.do(IntegrationFinished(job=started.job, verdicts=verdicts, own_weight=1.0)), Sent
    )


# What is lacking ----------------------------------------------------------------------------------


def test_a_hole_is_asked_for_although_what_comes_after_it_is_here() -> None:
    peer = greeted()
    for sequence in (1, 2, 5):
        peer.take(BERT, entry(sequence))
    assert peer.receive(CARL, page(5)) == [Sent(CARL.peer, wanted(3, 5))]


def test_what_is_on_its_way_is_not_asked_for() -> None:
    peer = greeted()
    peer.take(BERT, entry(1))
    peer.deliver(BERT, entry(2))  # being validated
    assert peer.receive(CARL, page(2)) == []


def test_what_was_offered_by_somebody_who_is_gone_is_asked_for() -> None:
    peer = greeted()
    peer.greet(DORA)
    signed = entry(1, DORA)
    peer.receive(BERT, Announce(update=signed))
    assert peer.receive(CARL, page(1, DORA)) == []  # it is being fetched
    peer.disconnect(BERT)
    name = signed.header.payload_hash
    peer.do(PayloadFailed(peer=BERT.peer, content_hash=name, bytes_done=0, offence=None))
    assert peer.receive(CARL, page(1, DORA)) == [Sent(CARL.peer, wanted(1, 1, DORA))]


def test_only_what_nothing_is_missing_before_is_told_to_be_here() -> None:
    # Else whoever has the same hole would find that nobody has more.
    peer = greeted()
    for sequence in (1, 2, 5):
        peer.take(BERT, entry(sequence))
    peer.take(CARL, entry(7, CARL))
    (told,) = messages_to(peer.receive(CARL, RequestHeads(after=None)), CARL)
    assert told.entries == (Head(author=BERT.peer, incarnation=LIFE, sequence=2),)


# When ---------------------------------------------------------------------------------------------


def test_what_is_missing_is_asked_for_once_and_not_at_every_integration() -> None:
    # Many rounds may pass until a far author has answered.
    peer = greeted()
    peer.take(BERT, entry(3))
    assert Sent(BERT.peer, wanted(1, 3)) in integrate_in_vain(peer, b"one")
    for sequence in range(4, 9):
        peer.take(BERT, entry(sequence))
        assert integrate_in_vain(peer, b"%d" % sequence) == []
    peer.now_s += 2.0
    peer.take(BERT, entry(9))
    assert integrate_in_vain(peer, b"last") == [Sent(BERT.peer, wanted(1, 9))]


def test_when_nothing_is_new_neighbors_compare_all_they_have() -> None:
    # The last word of an author may be lost, and nothing comes after it.
    peer = greeted()
    peer.take(BERT, entry(1))
    first, *others = messages_to(peer.fire(TimerKind.HEARTBEAT), CARL)
    assert isinstance(first, Heartbeat)
    assert (len(first.sightings), others) == (1, [])
    for _ in range(2):
        _, heads = messages_to(peer.fire(TimerKind.HEARTBEAT), CARL)
        assert heads == Heads(digest=page(1).digest, entries=(), cursor=None)


def test_where_nobody_keeps_logs_only_newest_updates_are_compared() -> None:
    peer = Solo(make_core(make_config(neighbors=(BERT,))))
    peer.start()
    peer.greet(BERT)
    (beat,) = messages_to(peer.fire(TimerKind.HEARTBEAT), BERT)
    assert isinstance(beat, Heartbeat)
