"""Updates: offered, taken, doubted, superseded, and never lost for good."""

from dataclasses import replace

import pytest

from p2pfed.core.config import ScheduleConfig, ScheduleMode, UpdateFamily
from p2pfed.core.effects import (
    CancelFetch,
    DropPayload,
    FetchPayload,
    StartIntegration,
    StartValidation,
    StorePayload,
)
from p2pfed.core.events import JobFailed, OffenceKind, PayloadReference, TrainingFinished
from p2pfed.core.notices import PeerOffended, RoundFinished, UpdatePublished, UpdateRejected
from p2pfed.core.timers import TimerKind
from p2pfed.limits import INLINE_PAYLOAD_BYTES_MAX, Limits
from p2pfed.messages import Announce, Deliver, SignedHeader, UpdateKind
from p2pfed.wire.hashes import content_hash
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    DORA,
    ROUNDS,
    flip,
    make_config,
    make_core,
    make_hello,
    make_update,
    stranger,
)
from tests.core.solo import PROGRESS, Saved, Sent, Solo, Told, messages_to, of_kind, row, solo


def greeted(
    *,
    limits: Limits | None = None,
    schedule: ScheduleConfig | None = None,
    family: UpdateFamily = UpdateFamily.WHOLE,
) -> Solo:
    """Return a peer in training with the configured neighbors Bert and Carl."""
    config = make_config(neighbors=(BERT, CARL), limits=limits, schedule=schedule)
    peer = Solo(make_core(replace(config, family=family)))
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    return peer


def blamed(effects: list[object]) -> list[tuple[bytes, OffenceKind]]:
    notices = [effect.notice for effect in of_kind(effects, Told)]
    return [(n.peer, n.kind) for n in notices if isinstance(n, PeerOffended)]


def rejected(effects: list[object]) -> list[str]:
    notices = [effect.notice for effect in of_kind(effects, Told)]
    return [n.reason for n in notices if isinstance(n, UpdateRejected)]


# Publishing --------------------------------------------------------------------------------


def test_a_small_update_is_pushed_with_its_payload_and_saved_before() -> None:
    peer = greeted()
    effects = peer.train(b"own")
    (to_bert,), (to_carl,) = messages_to(effects, BERT), messages_to(effects, CARL)
    assert isinstance(to_bert, Deliver)
    assert to_bert == to_carl
    assert to_bert.payload == b"own"
    assert effects[:4] == [
        Saved(PROGRESS, model_job=1),
        Sent(BERT.peer, to_bert),
        Sent(CARL.peer, to_carl),
        Told(UpdatePublished(round=0, sequence=1, payload_bytes=3)),
    ]


def test_a_large_update_is_announced() -> None:
    peer = greeted()
    effects = peer.train(bytes(40_000), inline=False)
    (announce,) = messages_to(effects, BERT)
    assert isinstance(announce, Announce)
    assert announce.update.header.payload_hash == content_hash(bytes(40_000))


def test_a_payload_too_large_for_a_frame_is_announced_whatever_the_driver_says() -> None:
    peer = greeted()
    large = bytes(INLINE_PAYLOAD_BYTES_MAX + 1)
    reference = PayloadReference(
        content_hash=content_hash(large), size_bytes=len(large), inline=large
    )
    event = TrainingFinished(job=1, payload=reference, loss=None, examples=0)
    assert isinstance(messages_to(peer.do(event), BERT)[0], Announce)


def test_updates_are_chained_by_sequence_and_previous() -> None:
    peer = greeted()
    first = messages_to(peer.train(b"one"), BERT)[0].update
    peer.integrate()
    second = messages_to(peer.train(b"two"), BERT)[0].update
    assert (first.header.sequence, second.header.sequence) == (1, 2)
    assert second.header.previous == first.update_id
    assert second.header.round == 1


def test_the_update_before_is_no_longer_served_and_its_payload_goes_after_the_save() -> None:
    peer = greeted()
    peer.train(b"one")
    peer.integrate()
    assert peer.train(b"two")[:2] == [
        Saved(PROGRESS, model_job=3),
        DropPayload(content_hash=content_hash(b"one")),
    ]


def test_a_payload_that_has_not_changed_stays() -> None:
    peer = greeted()
    peer.train(b"same")
    peer.integrate()
    assert of_kind(peer.train(b"same"), DropPayload) == []


def test_in_rounds_the_update_before_is_served_until_nobody_can_want_it() -> None:
    peer = Solo(make_core(make_config(neighbors=(), schedule=replace(ROUNDS, rounds_max=9))))
    peer.start()
    peer.train(b"one")
    peer.integrate()
    assert of_kind(peer.train(b"two"), DropPayload) == []
    peer.integrate()
    assert of_kind(peer.train(b"three"), DropPayload) == [
        DropPayload(content_hash=content_hash(b"one"))
    ]


# Taking ------------------------------------------------------------------------------------


STORED = StorePayload(content_hash=content_hash(b"row"), payload=b"row")


def test_an_inline_update_is_stored_and_integrated_unseen() -> None:
    peer = greeted()
    update = make_update(BERT)
    assert peer.deliver(BERT, update) == [STORED]
    peer.train()
    assert peer.last(StartIntegration).rows == (row(BERT, update),)


@pytest.mark.parametrize("family", [UpdateFamily.DIFFERENCE, UpdateFamily.LEDGER])
def test_what_others_build_on_is_validated_however_small(family: UpdateFamily) -> None:
    peer = greeted(family=family)
    kind = UpdateKind.DIFFERENCE if family is UpdateFamily.DIFFERENCE else UpdateKind.OPERATION
    update = make_update(BERT, kind=kind)
    assert peer.deliver(BERT, update) == [
        STORED,
        StartValidation(job=2, update_id=update.update_id, header=update.header),
    ]


def test_an_announced_update_is_fetched_and_validated() -> None:
    peer = greeted()
    update = make_update(BERT)
    assert peer.receive(BERT, Announce(update=update)) == [
        FetchPayload(peer=BERT.peer, content_hash=content_hash(b"row"), size_bytes=3, offset=0)
    ]
    assert peer.arrive(content_hash(b"row")) == [
        StartValidation(job=2, update_id=update.update_id, header=update.header)
    ]


def test_an_update_of_a_stranger_is_ignored() -> None:
    peer = greeted()
    assert peer.deliver(BERT, make_update(DORA)) == []
    assert peer.counted("ignored.stranger") == 1


def test_an_update_that_a_third_peer_passes_on_is_taken() -> None:
    peer = greeted()
    update = make_update(CARL)
    assert peer.deliver(BERT, update) == [STORED]


@pytest.mark.parametrize(
    ("signed", "kind"),
    [
        (flip(make_update(BERT)), OffenceKind.SIGNATURE),
        (make_update(BERT, run_id=bytes(32)), OffenceKind.MISMATCH),
        (make_update(BERT, method="other"), OffenceKind.MISMATCH),
        (make_update(BERT, payload_bytes=1_000_001), OffenceKind.LIMIT),
    ],
)
def test_an_update_that_breaks_a_rule_of_the_run_is_the_senders_offence(
    signed: SignedHeader, kind: OffenceKind
) -> None:
    peer = greeted()
    effects = peer.receive(CARL, Announce(update=signed))
    assert blamed(effects) == [(CARL.peer, kind)]
    assert of_kind(effects, FetchPayload) == []


def test_a_wrong_inline_payload_is_the_senders_offence_and_does_not_lose_the_update() -> None:
    peer = greeted()
    update = make_update(CARL)
    effects = peer.deliver(BERT, update, b"lie")
    assert blamed(effects) == [(BERT.peer, OffenceKind.SCHEMA)]
    assert peer.deliver(CARL, update) == [STORED]


def test_a_payload_above_the_own_limit_is_refused_without_blame() -> None:
    peer = greeted(limits=Limits(payload_bytes_max=2))
    effects = peer.deliver(BERT, make_update(BERT))
    assert rejected(effects) == ["payload of 3 bytes, at most 2 here"]
    assert blamed(effects) == []
    assert peer.deliver(BERT, make_update(BERT)) == []  # and told only once


def test_an_invalid_payload_is_the_authors_offence_whoever_passed_it_on() -> None:
    peer = greeted()
    peer.fetch(BERT, make_update(CARL))
    effects = peer.validate(OffenceKind.CODEC)
    assert blamed(effects) == [(CARL.peer, OffenceKind.CODEC)]
    assert rejected(effects) == ["payload is invalid (codec)"]
    assert of_kind(effects, DropPayload) == [DropPayload(content_hash=content_hash(b"row"))]
    assert peer.deliver(BERT, make_update(CARL)) == []


@pytest.mark.parametrize("mode", list(ScheduleMode))
def test_an_inline_payload_that_nobody_can_read_is_blamed_when_it_is_integrated(
    mode: ScheduleMode,
) -> None:
    peer = greeted(schedule=ScheduleConfig(mode=mode))
    bad = make_update(CARL, payload=b"bad")
    peer.deliver(BERT, bad, b"bad")
    peer.deliver(BERT, make_update(BERT))
    peer.train()
    assert len(peer.last(StartIntegration).rows) == 2
    effects = peer.integrate(unreadable=[CARL.peer])
    assert blamed(effects) == [(CARL.peer, OffenceKind.CODEC)]
    assert rejected(effects) == ["payload is invalid (codec)"]
    assert DropPayload(content_hash=content_hash(b"bad")) in effects
    (told,) = [it.notice for it in of_kind(effects, Told) if isinstance(it.notice, RoundFinished)]
    assert [verdict.peer for verdict in told.verdicts] == [BERT.peer]
    # It is neither wanted nor taken again, and the next update of its author is.
    assert peer.deliver(BERT, bad, b"bad") == []
    assert of_kind(peer.deliver(CARL, make_update(CARL, 2, payload=b"2"), b"2"), StorePayload)


def test_a_row_at_which_the_own_decoder_breaks_down_is_given_up_without_blame() -> None:
    peer = greeted()
    bad = make_update(CARL, payload=b"bad")
    peer.deliver(CARL, bad, b"bad")
    peer.deliver(BERT, make_update(BERT))
    peer.train()
    effects = peer.integrate(not_read=[CARL.peer])
    assert blamed(effects) == []
    assert rejected(effects) == ["payload could not be validated here"]
    assert DropPayload(content_hash=content_hash(b"bad")) in effects
    peer.deliver(BERT, make_update(BERT, 2, payload=b"2"), b"2")
    peer.train(b"next")
    assert [it.peer for it in peer.last(StartIntegration).rows] == [BERT.peer]
    assert peer.deliver(CARL, bad, b"bad") == []


def test_what_a_stopped_round_found_unreadable_is_blamed() -> None:
    peer = greeted(schedule=ScheduleConfig(time_s_max=5.0))
    peer.deliver(CARL, make_update(CARL))
    peer.train()
    peer.fire(TimerKind.TIME_LIMIT, after_s=5.0)
    assert blamed(peer.integrate(unreadable=[CARL.peer])) == [(CARL.peer, OffenceKind.CODEC)]


def test_a_flood_of_what_nobody_can_read_counts_once_an_integration() -> None:
    peer = greeted()
    for sequence in range(1, 20):
        payload = b"%d" % sequence
        peer.deliver(CARL, make_update(CARL, sequence, payload=payload), payload)
    peer.train()
    assert len(blamed(peer.integrate(unreadable=[CARL.peer]))) == 1


def test_a_payload_that_this_machine_cannot_validate_is_nobodys_fault() -> None:
    peer = greeted()
    peer.fetch(BERT, make_update(BERT))
    job = peer.last(StartValidation).job
    effects = peer.do(JobFailed(job=job, reason="out of memory", cancelled=False))
    assert blamed(effects) == []
    assert rejected(effects) == ["payload could not be validated here"]
    # The next update of the author gets its turn.
    update = make_update(BERT, 2, payload=b"new")
    assert of_kind(peer.fetch(BERT, update, b"new"), StartValidation)


def test_a_header_that_lies_about_the_size_of_a_payload_is_the_authors_offence() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT))
    liar = make_update(CARL, payload_bytes=4)  # the very payload of Bert, one byte longer
    effects = peer.receive(CARL, Announce(update=liar))
    assert blamed(effects) == [(CARL.peer, OffenceKind.PAYLOAD_SIZE)]


def test_bytes_that_are_here_already_are_not_fetched_again() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT))
    effects = peer.receive(CARL, Announce(update=make_update(CARL)))
    assert [type(effect) for effect in effects] == [StartValidation]


def test_updates_of_a_banned_neighbor_are_neither_kept_nor_taken_from_others() -> None:
    peer = greeted()
    peer.take(CARL, make_update(CARL))
    for number in range(2, 5):
        peer.fetch(CARL, make_update(CARL, number, payload=b"%d" % number), b"%d" % number)
        peer.validate(OffenceKind.CODEC)
    update = make_update(CARL, 9, payload=b"nine")
    assert peer.deliver(BERT, update, b"nine") == []
    assert peer.counted("ignored.banned") == 1
    peer.train()
    assert peer.last(StartIntegration).rows == ()


# Order and replacement ---------------------------------------------------------------------


def test_a_newer_validated_update_replaces_the_older() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT, 1, payload=b"one"), b"one")
    effects = peer.take(BERT, make_update(BERT, 2, payload=b"two"), b"two")
    assert of_kind(effects, DropPayload) == [DropPayload(content_hash=content_hash(b"one"))]


def test_a_replayed_older_update_is_stale() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT, 5, payload=b"five"), b"five")
    assert peer.deliver(CARL, make_update(BERT, 4, payload=b"four"), b"four") == []
    assert peer.counted("ignored.stale") == 1


def test_what_waits_is_superseded_and_what_is_under_way_is_finished() -> None:
    # Else an author that publishes faster than it serves would never be heard.
    peer = greeted()
    updates = [make_update(BERT, number, payload=b"%d" % number) for number in range(1, 4)]
    for update in updates:
        peer.receive(BERT, Announce(update=update))
    assert len([e for e in peer.effects if isinstance(e, FetchPayload)]) == 1
    peer.arrive(content_hash(b"1"))
    effects = peer.validate()
    assert of_kind(effects, FetchPayload) == [
        FetchPayload(peer=BERT.peer, content_hash=content_hash(b"3"), size_bytes=1, offset=0)
    ]


def test_a_flood_of_updates_starts_one_validation_at_a_time() -> None:
    peer = greeted(family=UpdateFamily.LEDGER)
    for number in range(1, 50):
        entry = make_update(BERT, number, kind=UpdateKind.OPERATION, payload=b"%d" % number)
        peer.deliver(BERT, entry, b"%d" % number)
    assert len([e for e in peer.effects if isinstance(e, StartValidation)]) == 1
    (next_one,) = of_kind(peer.validate(), StartValidation)
    assert next_one.header.sequence == 2


def test_a_flood_of_small_models_leaves_the_newest() -> None:
    peer = greeted()
    for number in range(1, 50):
        peer.deliver(BERT, make_update(BERT, number, payload=b"%d" % number), b"%d" % number)
    assert len([e for e in peer.effects if isinstance(e, DropPayload)]) == 48
    peer.train()
    (newest,) = peer.last(StartIntegration).rows
    assert newest.header.sequence == 49


def test_in_rounds_a_flood_of_small_models_leaves_the_last_ones() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    for number in range(1, 50):
        update = make_update(BERT, number, payload=b"%d" % number, round_number=number - 1)
        peer.deliver(BERT, update, b"%d" % number)
    limit = Limits().updates_per_author_max
    assert len([e for e in peer.effects if isinstance(e, DropPayload)]) == 49 - limit
    peer.train()
    # Who is ahead by so much would else give the same row to many rounds of this peer.
    (oldest,) = peer.last(StartIntegration).rows
    assert oldest.header.sequence == 50 - limit


def test_validations_are_shared_out_in_turn() -> None:
    config = make_config(neighbors=(BERT, CARL, DORA), limits=Limits(validations_max=1))
    peer = Solo(make_core(config))
    for who in (BERT, CARL, DORA, stranger(1)):
        peer.greet(who)
    peer.deliver(stranger(1), make_update(stranger(1)))  # the bytes of all of them
    for who, sequence in ((BERT, 1), (BERT, 2), (CARL, 1), (BERT, 3), (DORA, 1)):
        # Bert's third keeps the place of its second.
        peer.receive(who, Announce(update=make_update(who, sequence)))
    peer.validate()
    order = []
    for _ in range(3):
        order.append(peer.last(StartValidation).header.author)
        peer.validate()
    assert order == [BERT.peer, CARL.peer, DORA.peer]


def test_in_rounds_the_rows_of_two_rounds_are_kept() -> None:
    peer = greeted(schedule=ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS))
    peer.take(BERT, make_update(BERT, 1, payload=b"one"), b"one")
    effects = peer.take(BERT, make_update(BERT, 2, payload=b"two", round_number=1), b"two")
    assert of_kind(effects, DropPayload) == []


def test_in_rounds_an_author_far_ahead_keeps_no_more_than_its_share() -> None:
    peer = greeted(schedule=ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS))
    for number in range(1, 9):
        payload = b"%d" % number
        peer.receive(
            BERT,
            Announce(update=make_update(BERT, number, payload=payload, round_number=number)),
        )
    # One is being fetched, two wait: a flood does not cancel what is under way.
    assert [e for e in peer.effects if isinstance(e, CancelFetch)] == []
    assert len([e for e in peer.effects if isinstance(e, FetchPayload)]) == 1


def test_updates_of_a_stranger_are_forgotten_when_it_goes() -> None:
    peer = greeted()
    peer.greet(DORA)
    peer.take(DORA, make_update(DORA))
    assert DropPayload(content_hash=content_hash(b"row")) in peer.disconnect(DORA)
    peer.train()
    assert peer.last(StartIntegration).rows == ()


def test_updates_of_a_configured_neighbor_outlive_its_absence() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT))
    peer.disconnect(BERT)
    peer.train()
    assert [row.peer for row in peer.last(StartIntegration).rows] == [BERT.peer]


# Incarnations ------------------------------------------------------------------------------


def test_an_author_that_lost_its_disk_is_heard_under_its_new_incarnation() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT, 9))
    peer.disconnect(BERT)
    peer.greet(BERT, make_hello(incarnation=8))
    reborn = make_update(BERT, 1, payload=b"new", incarnation=8)
    assert of_kind(peer.deliver(BERT, reborn, b"new"), StorePayload)


def test_a_replay_of_an_earlier_life_does_not_silence_the_present_one() -> None:
    # Carl replays Bert's first life to a peer that has never seen it. Only Bert, on its own
    # connection, says which life it lives.
    peer = greeted()
    old = make_update(BERT, 99, payload=b"old", incarnation=1)
    assert peer.deliver(CARL, old, b"old") == []
    assert peer.counted("ignored.stale") == 1
    assert peer.deliver(BERT, make_update(BERT)) == [STORED]


def test_a_neighbor_that_changes_its_life_while_connected_is_heard() -> None:
    peer = greeted()
    peer.take(BERT, make_update(BERT, 9))
    reborn = make_update(BERT, 1, payload=b"new", incarnation=8)
    assert of_kind(peer.deliver(BERT, reborn, b"new"), StorePayload)


def test_the_own_updates_of_others_are_ignored_in_this_life() -> None:
    peer = greeted()
    assert peer.deliver(BERT, make_update(ANNA, 5)) == []
    assert peer.core.status().sequence == 0
