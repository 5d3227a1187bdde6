"""Updates that build on the one before: chains, gaps in them, and full updates that end gaps."""

from dataclasses import replace

from msgspec import structs

from p2pfed.core.config import ScheduleConfig, ScheduleMode, UpdateFamily
from p2pfed.core.effects import IntegrationRow, OwnPlace, StartIntegration, StartTraining
from p2pfed.core.events import GAP, IntegrationFinished, TrainingFinished, Verdict
from p2pfed.identity import Identity
from p2pfed.messages import (
    Announce,
    Deliver,
    Message,
    RequestFull,
    RequestRange,
    SignedHeader,
    UpdateKind,
)
from p2pfed.wire import headers
from p2pfed.wire.hashes import content_hash
from tests.core.peers import (
    BERT,
    CARL,
    make_config,
    make_core,
    make_hello,
    make_payload,
    make_update,
)
from tests.core.solo import Solo, messages_to

ASYNCHRONOUS = ScheduleConfig(evaluate_every_rounds=0)
LIMIT = 16


def make_peer(
    *neighbors: Identity, schedule: ScheduleConfig = ASYNCHRONOUS, **changes: object
) -> Solo:
    config = make_config(neighbors=neighbors, schedule=schedule)
    return Solo(make_core(replace(config, family=UpdateFamily.DIFFERENCE), **changes))


def difference(author: Identity, sequence: int, *, base: int | None = None) -> SignedHeader:
    """Return a difference; its payload is b"row"."""
    header = structs.replace(
        make_update(author, sequence).header,
        kind=UpdateKind.DIFFERENCE,
        base=sequence - 1 if base is None else base,
    )
    return headers.sign(header, author)


def publish(peer: Solo, payload: bytes, *, is_full: bool = False) -> list[object]:
    """Finish the training that was started last."""
    job = peer.last(StartTraining).job
    reference = make_payload(payload)
    return peer.do(
        TrainingFinished(job=job, payload=reference, loss=0.5, examples=10, is_full=is_full)
    )


def integrate(peer: Solo, *, gaps: tuple[Identity, ...] = ()) -> list[object]:
    """Finish the integration that was started last; some rows could not be followed."""
    started = peer.last(StartIntegration)
    lost = [it.peer for it in gaps]
    verdicts = tuple(
        Verdict(peer=row.peer, weight=0.0, reason=GAP if row.peer in lost else "")
        for row in started.rows
    )
    return peer.do(
        IntegrationFinished(job=started.job, verdicts=verdicts, own_weight=1.0, evaluation=None)
    )


def finish_round(peer: Solo, payload: bytes, *, is_full: bool = False) -> None:
    publish(peer, payload, is_full=is_full)
    integrate(peer)


def published(effects: list[object], who: Identity) -> SignedHeader:
    """Return the one update that was sent to a peer."""
    (message,) = [it for it in messages_to(effects, who) if isinstance(it, Announce | Deliver)]
    return message.update


def rows(peer: Solo) -> dict[bytes, list[int]]:
    """Return the sequences that the running integration has, by author."""
    return {
        row.peer: [header.sequence for header in (*row.before, row.header)]
        for row in peer.last(StartIntegration).rows
    }


def requests(effects: list[object], who: Identity) -> list[Message]:
    return [it for it in messages_to(effects, who) if isinstance(it, RequestRange | RequestFull)]


# Own updates -------------------------------------------------------------------------------


def test_own_updates_build_on_each_other() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    first = published(publish(peer, b"one"), BERT).header
    assert (first.kind, first.sequence, first.base) == (UpdateKind.DIFFERENCE, 1, 0)
    integrate(peer)
    place = peer.last(StartTraining).own
    assert place == OwnPlace(incarnation=first.incarnation, sequence=1, needs_full=False)
    second = published(publish(peer, b"two"), BERT).header
    assert (second.kind, second.sequence, second.base) == (UpdateKind.DIFFERENCE, 2, 1)
    assert peer.last(StartIntegration).own == structs.replace(place, sequence=2)


def test_the_bench_says_what_is_full() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    header = published(publish(peer, b"one", is_full=True), BERT).header
    assert (header.kind, header.base) == (UpdateKind.FULL, 0)


def test_all_that_may_be_missing_is_served() -> None:
    peer = make_peer(BERT)
    peer.start()
    for number in range(LIMIT + 2):
        finish_round(peer, b"%d" % number)
    peer.greet(BERT)
    answers = peer.receive(BERT, RequestFull(author=peer.core.peer))
    offered = [it.update.header.sequence for it in messages_to(answers, BERT)]
    assert offered == list(range(3, LIMIT + 3))


def test_who_cannot_follow_gets_a_full_update() -> None:
    peer = make_peer(BERT)
    peer.start()
    for number in range(LIMIT + 1):
        finish_round(peer, b"%d" % number)
    peer.greet(BERT)
    incarnation = peer.last(StartTraining).own.incarnation
    peer.receive(
        BERT, RequestRange(author=peer.core.peer, incarnation=incarnation, first=1, last=LIMIT + 1)
    )
    finish_round(peer, b"next")  # its training was ordered before
    assert peer.last(StartTraining).own.needs_full
    header = published(publish(peer, b"all", is_full=True), BERT).header
    assert header.kind is UpdateKind.FULL
    integrate(peer)
    assert not peer.last(StartTraining).own.needs_full


def test_what_is_still_served_is_sent_and_nothing_full() -> None:
    peer = make_peer(BERT)
    peer.start()
    for number in range(6):
        finish_round(peer, b"%d" % number)
    peer.greet(BERT)
    incarnation = peer.last(StartTraining).own.incarnation
    answers = peer.receive(
        BERT, RequestRange(author=peer.core.peer, incarnation=incarnation, first=5, last=6)
    )
    assert [it.update.header.sequence for it in messages_to(answers, BERT)] == [5, 6]
    finish_round(peer, b"next")
    assert not peer.last(StartTraining).own.needs_full


def test_neighbors_cannot_make_every_update_full() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    kinds = []
    for number in range(LIMIT + 20):
        place = peer.last(StartTraining).own
        finish_round(peer, b"%d" % number, is_full=place.needs_full)
        kinds.append(place.needs_full)
        ask = RequestRange(
            author=peer.core.peer, incarnation=place.incarnation, first=1, last=place.sequence + 1
        )
        peer.receive(BERT, ask)
    assert any(kinds)
    assert all(sum(kinds[start : start + 5]) <= 1 for start in range(len(kinds)))


def test_a_new_incarnation_starts_without_a_difference() -> None:
    peer = make_peer(BERT)
    peer.start()
    finish_round(peer, b"one")
    again = make_peer(BERT, entropy=b"second life", records=peer.disk)
    again.start()
    again.greet(BERT)
    old = again.last(StartTraining).own
    # Somebody knows more than this life: an old backup runs here.
    again.disconnect(BERT)
    effects = again.greet(BERT, make_hello(newest_of_yours=(old.incarnation, 9)))
    assert not [it for it in messages_to(effects, BERT) if isinstance(it, Announce | Deliver)]
    integrate_if_any(again)
    header = published(publish(again, b"two", is_full=True), BERT).header
    assert (header.sequence, header.kind) == (1, UpdateKind.FULL)
    assert header.incarnation != old.incarnation


def integrate_if_any(peer: Solo) -> None:
    if isinstance(peer.jobs[-1], StartIntegration):
        integrate(peer)


# Updates of neighbors ----------------------------------------------------------------------


def test_differences_are_integrated_in_order_and_none_is_superseded() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    for sequence in (1, 2, 3):
        peer.take(BERT, difference(BERT, sequence), b"row")
    publish(peer, b"own")
    assert rows(peer) == {BERT.peer: [1, 2, 3]}
    integrate(peer)
    peer.take(BERT, difference(BERT, 4))
    publish(peer, b"own again")
    assert rows(peer) == {BERT.peer: [4]}


def test_what_comes_late_is_put_in_its_place() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    for sequence in (1, 3, 2):
        peer.take(BERT, difference(BERT, sequence))
    publish(peer, b"own")
    assert rows(peer) == {BERT.peer: [1, 2, 3]}


def test_a_gap_is_asked_for_and_filled() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    for sequence in (1, 2):
        peer.take(BERT, difference(BERT, sequence))
    publish(peer, b"own")
    integrate(peer)
    peer.take(BERT, difference(BERT, 5))
    publish(peer, b"own 2")
    assert rows(peer) == {BERT.peer: [5]}
    incarnation = make_update(BERT).header.incarnation
    wanted = RequestRange(author=BERT.peer, incarnation=incarnation, first=3, last=5)
    assert requests(integrate(peer, gaps=(BERT,)), BERT) == [wanted]
    for sequence in (3, 4):
        peer.take(BERT, difference(BERT, sequence))
    publish(peer, b"own 3")
    assert rows(peer) == {BERT.peer: [3, 4, 5]}
    assert requests(integrate(peer), BERT) == []


def test_what_is_integrated_is_not_taken_again() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    for sequence in (1, 2):
        peer.take(BERT, difference(BERT, sequence))
    publish(peer, b"own")
    integrate(peer)
    before = len(peer.jobs)
    peer.deliver(BERT, difference(BERT, 1))
    assert len(peer.jobs) == before
    assert peer.counted("duplicate.update") == 1


def test_a_full_update_replaces_what_it_makes_worthless() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    peer.take(BERT, difference(BERT, 2))  # of which the first was lost
    peer.take(BERT, make_update(BERT, 3))
    peer.take(BERT, difference(BERT, 4))
    publish(peer, b"own")
    assert rows(peer) == {BERT.peer: [3, 4]}


def test_another_incarnation_starts_anew() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    for sequence in (1, 2):
        peer.take(BERT, difference(BERT, sequence))
    peer.disconnect(BERT)
    peer.greet(BERT, make_hello(incarnation=99))
    peer.take(BERT, make_update(BERT, 1, incarnation=99))
    publish(peer, b"own")
    (row,) = peer.last(StartIntegration).rows
    assert row == IntegrationRow(
        peer=BERT.peer, header=make_update(BERT, 1, incarnation=99).header, staleness=0
    )


def test_more_differences_than_fit_are_given_up() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    for sequence in range(1, LIMIT + 2):
        peer.take(BERT, difference(BERT, sequence))
    publish(peer, b"own")
    assert rows(peer) == {BERT.peer: [LIMIT + 1]}
    incarnation = make_update(BERT).header.incarnation
    wanted = RequestRange(author=BERT.peer, incarnation=incarnation, first=1, last=LIMIT + 1)
    assert requests(integrate(peer, gaps=(BERT,)), BERT) == [wanted]


def test_rounds_in_step_have_their_rows_whatever_was_ahead() -> None:
    schedule = ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS, evaluate_every_rounds=0)
    peer = make_peer(BERT, CARL, schedule=schedule)
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    for number in range(2):
        for who in (BERT, CARL):
            header = structs.replace(
                make_update(who, number + 1, round_number=number).header,
                kind=UpdateKind.DIFFERENCE,
                base=number,
            )
            peer.take(who, headers.sign(header, who))
    publish(peer, b"own 0")
    assert rows(peer) == {BERT.peer: [1], CARL.peer: [1]}
    integrate(peer)
    publish(peer, b"own 1")
    assert rows(peer) == {BERT.peer: [2], CARL.peer: [2]}


def test_a_full_update_ends_the_gap_of_an_author_that_is_rounds_ahead() -> None:
    schedule = ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS, evaluate_every_rounds=0)
    peer = make_peer(BERT, schedule=schedule)
    peer.start()
    peer.greet(BERT)
    ahead = structs.replace(difference(BERT, 5).header, round=4)
    peer.take(BERT, headers.sign(ahead, BERT))
    publish(peer, b"own 0")
    integrate(peer, gaps=(BERT,))
    full = structs.replace(make_update(BERT, 7, round_number=6).header, kind=UpdateKind.FULL)
    peer.take(BERT, headers.sign(full, BERT))
    publish(peer, b"own 1")
    assert rows(peer) == {BERT.peer: [7]}


def test_payloads_of_a_chain_are_kept_while_it_is_integrated() -> None:
    peer = make_peer(BERT)
    peer.start()
    peer.greet(BERT)
    payloads = [b"one", b"two"]
    for sequence, payload in enumerate(payloads, start=1):
        header = structs.replace(
            difference(BERT, sequence).header,
            payload_hash=content_hash(payload),
            payload_bytes=len(payload),
        )
        peer.take(BERT, headers.sign(header, BERT), payload)
    publish(peer, b"own")
    dropped = {
        effect.content_hash for effect in peer.effects if type(effect).__name__ == "DropPayload"
    }
    assert not dropped & {content_hash(payload) for payload in payloads}
