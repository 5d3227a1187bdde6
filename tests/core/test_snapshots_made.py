"""Snapshots of a log: made by those who have it, fetched by those who lack what is before."""

from dataclasses import replace

from msgspec import structs

from p2pfed.core.config import ScheduleConfig, UpdateFamily
from p2pfed.core.effects import FetchPayload, StartIntegration, StartValidation
from p2pfed.core.events import JobFailed, OffenceKind
from p2pfed.core.notices import UpdateRejected
from p2pfed.messages import Announce, Deliver, RequestFull, SignedHeader, UpdateKind
from p2pfed.wire import headers
from tests.core.peers import BERT, CARL, make_config, make_core, make_hello, make_update
from tests.core.solo import Solo, Told, messages_to, of_kind


def make_peer() -> Solo:
    """Return a peer with two neighbors that has trained."""
    schedule = ScheduleConfig(evaluate_every_rounds=0)
    config = make_config(neighbors=(BERT, CARL), schedule=schedule)
    peer = Solo(make_core(replace(config, family=UpdateFamily.LEDGER)))
    peer.start()
    for who in (BERT, CARL):
        peer.greet(who, make_hello())
    return peer


def entry(sequence: int, kind: UpdateKind = UpdateKind.OPERATION) -> SignedHeader:
    """Return an entry, whose payload is the name of its kind."""
    signed = make_update(BERT, sequence, payload=kind.encode())
    return headers.sign(structs.replace(signed.header, kind=kind), BERT)


SNAPSHOT = entry(3, UpdateKind.SNAPSHOT)


def made(effects: list[object]) -> list[object]:
    return [it for it in of_kind(effects, StartValidation) if not it.is_here]  # type: ignore[attr-defined]


def integrated(*sequences: int) -> Solo:
    """Return a peer that has integrated entries."""
    peer = make_peer()
    for sequence in sequences:
        peer.take(BERT, entry(sequence), b"operation")
    peer.train()
    peer.integrate()
    return peer


def test_who_has_integrated_the_log_makes_the_snapshot() -> None:
    peer = integrated(1, 2)
    effects = peer.receive(BERT, Announce(update=SNAPSHOT))
    assert len(made(effects)) == 1
    assert of_kind(effects, FetchPayload) == []
    effects = peer.validate()
    assert messages_to(effects, CARL) == [Announce(update=SNAPSHOT)]
    assert messages_to(peer.receive(CARL, RequestFull(author=BERT.peer)), CARL) == [
        Announce(update=SNAPSHOT)
    ]


def test_who_will_have_integrated_it_waits_for_that() -> None:
    peer = make_peer()
    peer.take(BERT, entry(1), b"operation")
    peer.take(BERT, entry(2), b"operation")
    effects = peer.receive(BERT, Announce(update=SNAPSHOT))
    assert of_kind(effects, FetchPayload, StartValidation) == []
    peer.train()
    assert len(made(peer.integrate())) == 1


def test_what_comes_after_a_snapshot_does_not_keep_back_what_is_before() -> None:
    peer = make_peer()
    for sequence in (1, 2, 4):
        peer.take(BERT, entry(sequence), b"operation")
    peer.receive(BERT, Announce(update=SNAPSHOT))
    peer.train()
    (row,) = peer.last(StartIntegration).rows
    assert row.header.sequence == 2
    assert len(made(peer.integrate())) == 1


def test_who_lacks_an_entry_fetches() -> None:
    peer = integrated(1)
    effects = peer.receive(BERT, Announce(update=SNAPSHOT))
    assert of_kind(effects, StartValidation) == []
    assert [it.peer for it in of_kind(effects, FetchPayload)] == [BERT.peer]  # type: ignore[attr-defined]


def test_who_cannot_make_it_fetches() -> None:
    peer = integrated(1, 2)
    peer.receive(BERT, Announce(update=SNAPSHOT))
    job = peer.validations.pop()
    effects = peer.do(JobFailed(job=job, reason="not as far", cancelled=False))
    assert len(of_kind(effects, FetchPayload)) == 1
    assert of_kind(effects, StartValidation) == []


def test_a_snapshot_of_another_log_is_its_authors_offence() -> None:
    peer = integrated(1, 2)
    peer.receive(BERT, Announce(update=SNAPSHOT))
    effects = peer.validate(OffenceKind.CODEC)
    assert [it.notice.reason for it in of_kind(effects, Told) if type(it.notice) is UpdateRejected]  # type: ignore[attr-defined]
    assert messages_to(effects, CARL) == []


def test_a_snapshot_that_is_pushed_is_made_all_the_same() -> None:
    # Else its author could have it believed where the log says something else.
    peer = make_peer()
    peer.take(BERT, entry(1), b"operation")
    peer.take(BERT, entry(2), b"operation")
    effects = peer.receive(BERT, Deliver(update=SNAPSHOT, payload=b"snapshot"))
    assert of_kind(effects, StartValidation) == []
    peer.train()
    assert len(made(peer.integrate())) == 1


def test_a_snapshot_far_ahead_of_the_log_is_fetched() -> None:
    peer = integrated(1, 2)
    effects = peer.receive(BERT, Announce(update=entry(2**50, UpdateKind.SNAPSHOT)))
    assert len(of_kind(effects, FetchPayload)) == 1
