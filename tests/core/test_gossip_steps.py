"""Rounds in which what one training made is published and mixed more than once."""

from msgspec.structs import replace

from p2pfed.core.config import ScheduleConfig, ScheduleMode
from p2pfed.core.effects import IntegrationRow, StartIntegration, StartTraining
from p2pfed.core.events import TrainingFinished
from p2pfed.core.notices import Finished, RoundFinished, StopReason, UpdatePublished
from p2pfed.core.records import decode_progress
from p2pfed.core.timers import TimerKind
from p2pfed.identity import Identity
from p2pfed.messages import Deliver, SignedHeader
from p2pfed.wire import canonical, headers
from tests.core.peers import (
    BERT,
    CARL,
    make_config,
    make_core,
    make_hello,
    make_payload,
    make_update,
)
from tests.core.solo import Cancelled, Set, Solo, Told, messages_to, of_kind, row, solo

TWICE = ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS, gossip_steps=2, rounds_max=2)


def make_step(
    author: Identity, sequence: int, *, round_number: int, step: int
) -> tuple[SignedHeader, bytes]:
    payload = b"%d/%d" % (round_number, step)
    signed = make_update(author, sequence, payload=payload, round_number=round_number)
    return headers.sign(replace(signed.header, gossip_step=step), author), payload


def begun(*neighbors: Identity) -> Solo:
    peer = solo(TWICE, *neighbors)
    peer.start()
    for who in neighbors:
        peer.greet(who)
    return peer


def take(
    peer: Solo, author: Identity, sequence: int, *, round_number: int, step: int
) -> IntegrationRow:
    signed, payload = make_step(author, sequence, round_number=round_number, step=step)
    peer.take(author, signed, payload)
    return row(author, signed)


def test_a_mixture_is_published_and_mixed_again_before_the_round_ends() -> None:
    peer = begun(BERT)
    first = take(peer, BERT, 1, round_number=0, step=1)
    peer.train(b"trained")
    assert peer.last(StartIntegration) == StartIntegration(
        job=2, round=0, rows=(first,), degree=1, evaluate=False, test=False
    )
    effects = peer.integrate()
    assert of_kind(effects, Told) == []
    assert effects[-1] == StartTraining(job=3, round=0, train=False, degree=1)
    mixture = make_payload(b"mixed once")
    effects = peer.do(TrainingFinished(job=3, payload=mixture, loss=None, examples=0))
    (delivered,) = messages_to(effects, BERT)
    assert isinstance(delivered, Deliver)
    header = delivered.update.header
    assert (header.round, header.gossip_step, header.sequence) == (0, 2, 2)
    assert effects[-1] == Set(TimerKind.DEADLINE, 30.0)
    signed, payload = make_step(BERT, 2, round_number=0, step=2)
    *_, cancelled, integration = peer.take(BERT, signed, payload)
    assert cancelled == Cancelled(TimerKind.DEADLINE)
    assert (integration.rows, integration.evaluate) == ((row(BERT, signed),), True)
    (told,) = of_kind(peer.integrate(score=0.5), Told)
    assert isinstance(told.notice, RoundFinished)
    assert (told.notice.round, told.notice.loss) == (0, 0.5)
    assert peer.last(StartTraining) == StartTraining(job=5, round=1, train=True, degree=1)


def test_who_is_steps_ahead_serves_with_its_next_row() -> None:
    peer = begun(BERT)
    later = take(peer, BERT, 1, round_number=0, step=2)
    peer.train(b"trained")
    assert peer.last(StartIntegration).rows == (later,)
    peer.integrate()
    peer.train(b"mixed once")
    assert peer.last(StartIntegration).rows == (replace(later, staleness=1),)  # of this very step


def test_a_step_behind_is_waited_for() -> None:
    peer = begun(BERT, CARL)
    for who in (BERT, CARL):
        take(peer, who, 1, round_number=0, step=1)
    peer.train(b"trained")
    peer.integrate()
    take(peer, BERT, 2, round_number=0, step=2)
    assert peer.train(b"mixed once")[-1] == Set(TimerKind.DEADLINE, 30.0)


def test_a_row_that_is_missing_at_the_deadline_is_left_out() -> None:
    peer = begun(BERT)
    take(peer, BERT, 1, round_number=0, step=1)
    peer.train(b"trained")
    peer.integrate()
    peer.train(b"mixed once")
    (integration,) = peer.fire(TimerKind.DEADLINE, after_s=30.0)
    assert integration.rows == ()


def test_a_step_that_no_round_has_counts_as_the_last() -> None:
    peer = begun(BERT)
    strange = take(peer, BERT, 1, round_number=0, step=65_535)
    peer.train(b"trained")
    assert peer.last(StartIntegration).rows == (strange,)
    peer.integrate()
    peer.train(b"mixed once")
    peer.integrate()
    assert peer.train(b"trained again")[-1] == Set(TimerKind.DEADLINE, 30.0)


def test_an_update_that_is_signed_anew_keeps_its_step() -> None:
    peer = begun()
    peer.train(b"trained")
    peer.integrate()
    peer.train(b"mixed once")
    config = make_config(neighbors=(BERT,), schedule=TWICE)
    again = Solo(make_core(config, entropy=b"next life", records=peer.disk))
    again.start()
    effects = again.greet(BERT, make_hello(newest_of_yours=(1, 99)))
    (delivered, *_) = [it for it in messages_to(effects, BERT) if isinstance(it, Deliver)]
    header = delivered.update.header
    assert (header.round, header.gossip_step, header.sequence) == (0, 2, 1)


def test_a_restart_goes_on_in_the_same_step() -> None:
    peer = begun()
    peer.train(b"trained")
    peer.integrate()
    config = make_config(neighbors=(), schedule=TWICE)
    again = Solo(make_core(config, entropy=b"next life", records=peer.disk))
    (training,) = of_kind(again.start(), StartTraining)
    assert (training.round, training.train) == (0, False)
    (told, *_) = of_kind(again.train(b"mixed once"), Told)
    assert told.notice == UpdatePublished(round=0, sequence=2, payload_bytes=10)
    again.integrate()
    assert again.last(StartTraining).train


def test_so_many_rounds_are_trained_and_not_so_many_steps() -> None:
    peer = begun()
    for number in range(4):
        peer.train(b"%d" % number)
        effects = peer.integrate()
    assert Told(Finished(reason=StopReason.ROUNDS, rounds=2)) in effects


def test_a_record_from_before_there_were_steps_is_of_the_first() -> None:
    peer = begun()
    peer.train(b"trained")
    fields = canonical.unpack(peer.disk["self/progress"], bytes_max=10_000)
    assert isinstance(fields, list)
    assert decode_progress(canonical.pack(fields[:-1])).progress.gossip_step == 1
