"""Logs that everybody keeps: which lives of an author count, and lies about them that are found."""

from dataclasses import replace

from msgspec import structs

from p2pfed.core.config import CoreConfig, ScheduleConfig, UpdateFamily
from p2pfed.core.effects import StartIntegration
from p2pfed.core.equivocation import make_evidence
from p2pfed.core.events import OffenceKind
from p2pfed.core.held import HeldUpdates
from p2pfed.core.notices import LogsLeftOut, PeerOffended
from p2pfed.identity import Identity
from p2pfed.limits import LIVES_PER_AUTHOR_MAX, Limits
from p2pfed.messages import Announce, Head, Heads, RequestUpdates, SignedHeader, UpdateKind
from p2pfed.wire import frames, headers
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
from tests.core.solo import Sent, Solo, Told, messages_to, of_kind

LIVES = range(100, 100 + LIVES_PER_AUTHOR_MAX)


def of_logs(*, limits: Limits | None = None) -> CoreConfig:
    schedule = ScheduleConfig(rounds_max=50)
    config = make_config(neighbors=(BERT, CARL), schedule=schedule, limits=limits)
    return replace(config, family=UpdateFamily.LEDGER)


def greeted(*, limits: Limits | None = None) -> Solo:
    peer = Solo(make_core(of_logs(limits=limits)))
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    return peer


def entry(
    author: Identity, sequence: int = 1, *, life: int = LIFE, payload: bytes = b"row"
) -> SignedHeader:
    header = make_update(author, sequence, payload=payload, incarnation=life).header
    return headers.sign(structs.replace(header, kind=UpdateKind.OPERATION), author)


def take(peer: Solo, who: Identity, signed: SignedHeader, payload: bytes = b"row") -> list[object]:
    """Deliver an entry, and validate it if it is looked at."""
    effects = peer.deliver(who, signed, payload)
    while peer.validations:
        effects += peer.validate()
    return effects


def integrated_lives(peer: Solo) -> list[int]:
    peer.train()
    return [row.header.incarnation for row in peer.last(StartIntegration).rows]


def offences(effects: list[object]) -> list[OffenceKind]:
    notices = [told.notice for told in of_kind(effects, Told)]
    return [notice.kind for notice in notices if isinstance(notice, PeerOffended)]


# How many lives count ---------------------------------------------------------------------------


def test_a_life_beyond_those_that_count_is_neither_held_nor_passed_on() -> None:
    peer = greeted()
    for life in LIVES:
        take(peer, BERT, entry(BERT, life=life))
    effects = take(peer, BERT, entry(BERT, life=LIVES[-1] + 1))
    assert effects == []
    assert peer.counted("ignored.life") == 1
    assert integrated_lives(peer) == [*LIVES]


def test_the_lives_with_the_lowest_numbers_count_in_whatever_order_they_come() -> None:
    found = []
    for order in (range(12), reversed(range(12)), (3, 11, 0, 7, 2, 10, 1, 9, 4, 8, 5, 6)):
        peer = greeted()
        for life in order:
            take(peer, BERT, entry(BERT, life=life))
        found.append(integrated_lives(peer))
    assert found == [[*range(LIVES_PER_AUTHOR_MAX)]] * 3


def test_a_life_that_does_not_count_any_more_is_dropped_and_forgotten_by_the_bench() -> None:
    peer = greeted()
    for life in LIVES:
        take(peer, BERT, entry(BERT, life=life))
    peer.train()
    assert peer.last(StartIntegration).last_lives == ((BERT.peer, LIVES[-1]),)
    take(peer, BERT, entry(BERT, life=1))
    peer.integrate()
    peer.train()
    assert peer.last(StartIntegration).last_lives == ((BERT.peer, LIVES[-2]),)
    assert [row.header.incarnation for row in peer.last(StartIntegration).rows] == [1]
    assert take(peer, BERT, entry(BERT, 2, life=LIVES[-1])) == []


def test_of_a_life_that_does_not_count_no_place_is_kept() -> None:
    # It was being integrated when a lower one came.
    held = HeldUpdates()
    for life in (*LIVES, 1):
        held.count_life(BERT.peer, life)
    held.pass_over(BERT.peer, LIVES[-1], 3)
    held.pass_over(BERT.peer, LIVES[0], 3)
    assert [held.first_wanted(BERT.peer, life) for life in (LIVES[-1], LIVES[0])] == [1, 4]


def test_what_is_passed_over_stays_so() -> None:
    held = HeldUpdates()
    for sequence in (5, 3, 0):
        held.pass_over(BERT.peer, LIVES[0], sequence)
    assert held.first_wanted(BERT.peer, LIVES[0]) == 6


def test_lives_of_one_author_take_none_of_another() -> None:
    peer = greeted()
    for life in LIVES:
        take(peer, BERT, entry(BERT, life=life))
    take(peer, BERT, entry(DORA, life=LIVES[-1] + 1))
    peer.train()
    assert DORA.peer in {row.peer for row in peer.last(StartIntegration).rows}


def test_lives_of_which_nothing_is_valid_take_no_place() -> None:
    # Announced and never served: whoever was not told of it would count another life.
    peer = greeted()
    peer.receive(BERT, Announce(update=entry(BERT, life=1, payload=b"withheld")))
    for life in LIVES:
        take(peer, BERT, entry(BERT, life=life))
    assert integrated_lives(peer) == [*LIVES]


def test_lives_that_may_turn_out_to_count_are_few() -> None:
    peer = greeted()
    for life in range(50):
        peer.receive(BERT, Announce(update=entry(BERT, life=life, payload=b"withheld")))
    assert peer.counted("ignored.life") == 50 - LIVES_PER_AUTHOR_MAX


def test_of_a_life_that_does_not_count_nothing_is_asked_for() -> None:
    peer = greeted()
    for life in LIVES:
        take(peer, BERT, entry(BERT, life=life))
    heads = (Head(author=BERT.peer, incarnation=LIVES[-1] + 1, sequence=9),)
    message = Heads(digest=frames.heads_digest(heads), entries=heads, cursor=None)
    assert of_kind(peer.receive(CARL, message), Sent) == []


# Lies that are found -----------------------------------------------------------------------------


def test_a_second_version_of_an_entry_is_proof_after_any_number_of_lives() -> None:
    peer = greeted()
    take(peer, BERT, entry(BERT, life=LIFE))
    for life in range(1_000, 1_100):
        take(peer, BERT, entry(BERT, life=life))
    effects = take(peer, CARL, entry(BERT, life=LIFE, payload=b"another"), b"another")
    assert offences(effects) == [OffenceKind.EQUIVOCATION]


def test_a_second_version_of_an_entry_is_proof_after_any_number_of_entries_ahead() -> None:
    peer = greeted()
    take(peer, BERT, entry(BERT))
    for sequence in range(100, 200):
        peer.receive(BERT, Announce(update=entry(BERT, sequence, payload=b"withheld")))
    effects = take(peer, CARL, entry(BERT, payload=b"another"), b"another")
    assert offences(effects) == [OffenceKind.EQUIVOCATION]


def test_a_second_version_of_an_entry_of_an_earlier_life_is_proof() -> None:
    # Bert said that he lives under another number now; others pass on what he wrote before.
    peer = greeted()
    take(peer, CARL, entry(BERT, life=LIFE + 1))
    effects = take(peer, CARL, entry(BERT, life=LIFE + 1, payload=b"another"), b"another")
    assert offences(effects) == [OffenceKind.EQUIVOCATION]


def test_whoever_is_proven_to_lie_counts_no_more_but_at_itself() -> None:
    # Two machines have its key: its own log has to go on where it is.
    peer = greeted()
    for author in (ANNA, BERT):
        signed = [entry(author, payload=payload) for payload in (b"row", b"another")]
        peer.receive(CARL, make_evidence(*signed))
    peer.train()
    peer.integrate()
    peer.train()
    assert peer.last(StartIntegration).frozen == (BERT.peer,)


def test_headers_of_a_log_are_bounded() -> None:
    peer = greeted(limits=Limits(headers_per_author_max=4))
    known = []
    for sequence in range(1, 21):
        known.append(entry(BERT, sequence))
        take(peer, BERT, known[-1])
        if sequence % 5 == 0:
            peer.train(b"%d" % sequence)
            peer.integrate()
    asked = RequestUpdates(update_ids=tuple(signed.update_id for signed in known))
    found = messages_to(peer.receive(CARL, asked), CARL)
    assert [it.update.header.sequence for it in found] == [*range(11, 15), *range(16, 20)]


# Limits that are told of --------------------------------------------------------------------------


def left_out(effects: list[object]) -> list[str]:
    notices = [told.notice for told in of_kind(effects, Told)]
    return [notice.reason for notice in notices if isinstance(notice, LogsLeftOut)]


def test_authors_beyond_the_limit_are_left_out_and_that_is_told_once() -> None:
    peer = greeted(limits=Limits(log_authors_max=3))
    for number in range(3):
        assert left_out(take(peer, BERT, entry(stranger(number)))) == []
    (reason,) = left_out(take(peer, BERT, entry(DORA)))
    assert "3 authors are kept here (limits.log_authors_max)" in reason
    assert left_out(take(peer, BERT, entry(stranger(9)))) == []
    assert len(integrated_lives(peer)) == 3
    assert peer.counted("ignored.stranger") == 2


def test_a_log_that_nobody_wrote_does_not_tell_of_the_limit() -> None:
    peer = greeted(limits=Limits(log_authors_max=1))
    take(peer, BERT, entry(stranger(0)))
    effects = take(peer, BERT, flip(entry(DORA)))
    assert (left_out(effects), offences(effects)) == ([], [OffenceKind.SIGNATURE])


def test_logs_of_neighbors_and_earlier_own_ones_find_room_beyond_the_limit() -> None:
    peer = greeted(limits=Limits(log_authors_max=1))
    take(peer, BERT, entry(stranger(0)))
    for who in (BERT, CARL, ANNA):
        take(peer, CARL, entry(who, life=3))
    assert len(integrated_lives(peer)) == 4


def test_a_peer_that_lost_too_many_disks_is_told() -> None:
    peer = greeted()
    peer.train()
    told = [left_out(take(peer, BERT, entry(ANNA, life=life))) for life in range(9)]
    assert [len(reasons) for reasons in told] == [0] * 7 + [1, 0]
    assert "take a new identity" in told[7][0]
    peer.integrate()
    assert left_out(peer.train(b"again")) == []
