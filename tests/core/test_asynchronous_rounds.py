"""Rounds of a peer that waits for nobody: what it integrates, and what is news."""

from p2pfed.core.config import ScheduleConfig
from p2pfed.core.effects import DropPayload, StartIntegration, StartTraining
from p2pfed.core.events import Verdict
from p2pfed.core.notices import (
    Finished,
    JobTrouble,
    Left,
    RoundFinished,
    StopReason,
    UpdatePublished,
)
from p2pfed.core.schedule import Phase
from p2pfed.core.timers import TimerKind
from p2pfed.wire.hashes import content_hash
from tests.core.peers import BERT, CARL, make_update
from tests.core.solo import PROGRESS, Cancelled, Saved, Set, Told, finish_round, of_kind, row, solo


def test_a_peer_without_neighbors_trains_to_its_end() -> None:
    peer = solo(ScheduleConfig(rounds_max=2, evaluate_every_rounds=0))
    assert peer.start() == [
        Set(TimerKind.HEARTBEAT, 2.0),
        StartTraining(job=1, round=0, train=True, degree=0),
    ]
    assert peer.train(b"one") == [
        Saved(PROGRESS, model_job=1),
        Told(UpdatePublished(round=0, sequence=1, payload_bytes=3)),
        StartIntegration(job=2, round=0, rows=(), degree=0, evaluate=False, test=False),
    ]
    assert peer.integrate() == [
        Saved(PROGRESS, model_job=2),
        Told(
            RoundFinished(round=0, loss=0.5, verdicts=(), own_weight=1.0, evaluation=None, note="")
        ),
        StartTraining(job=3, round=1, train=True, degree=0),
    ]
    peer.train(b"two")
    assert peer.integrate()[2:] == [
        Saved(PROGRESS),
        Told(Finished(reason=StopReason.ROUNDS, rounds=2)),
        Set(TimerKind.LINGER, 60.0),
    ]
    assert peer.fire(TimerKind.LINGER) == [Cancelled(TimerKind.HEARTBEAT), Told(Left())]
    assert peer.core.status().phase is Phase.LEFT


def test_an_asynchronous_peer_integrates_what_has_come_and_waits_for_nobody() -> None:
    peer = solo(ScheduleConfig(), BERT, CARL)
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    update = make_update(BERT)
    peer.take(BERT, update)
    effects = peer.train(b"own")
    assert peer.last(StartIntegration).rows == (row(BERT, update),)
    assert effects[-1] == peer.last(StartIntegration)
    assert of_kind(peer.integrate(), Told) == [
        Told(
            RoundFinished(
                round=0,
                loss=0.5,
                verdicts=(Verdict(peer=BERT.peer, weight=0.5, reason=""),),
                own_weight=0.5,
                evaluation=None,
                note="",
            )
        )
    ]


def test_nothing_is_integrated_without_news() -> None:
    peer = solo(ScheduleConfig(), BERT, CARL)
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    old = make_update(BERT)
    peer.take(BERT, old)
    finish_round(peer, b"one")
    peer.train(b"two")
    assert peer.last(StartIntegration).rows == ()  # Bert's row was integrated before
    peer.integrate()
    new = make_update(CARL)
    peer.take(CARL, new)
    peer.train(b"three")
    # Carl's row is news, and Bert's is taken along with its age.
    assert peer.last(StartIntegration).rows == (row(BERT, old, 2), row(CARL, new))


def test_a_row_that_is_too_old_is_not_taken_along() -> None:
    peer = solo(ScheduleConfig(staleness_rounds_max=1), BERT, CARL)
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    peer.take(BERT, make_update(BERT))
    finish_round(peer, b"one")
    finish_round(peer, b"two")
    update = make_update(CARL)
    peer.take(CARL, update)
    peer.train(b"three")
    assert peer.last(StartIntegration).rows == (row(CARL, update),)


def test_rows_of_a_failed_integration_are_integrated_by_the_next() -> None:
    peer = solo(ScheduleConfig(), BERT)
    peer.start()
    peer.greet(BERT)
    update = make_update(BERT)
    peer.take(BERT, update)
    peer.train()
    assert peer.fail() == [Told(JobTrouble(reason="out of memory")), Set(TimerKind.RETRY, 1.0)]
    (again,) = peer.fire(TimerKind.RETRY)
    assert isinstance(again, StartIntegration)
    assert again.rows == (row(BERT, update),)


def test_a_stranger_that_comes_back_is_news_again() -> None:
    # And nothing is remembered of strangers that do not.
    peer = solo(ScheduleConfig())
    peer.start()
    update = make_update(CARL)
    for payload in (b"one", b"two"):
        peer.greet(CARL)
        peer.take(CARL, update)
        peer.train(payload)
        assert peer.last(StartIntegration).rows == (row(CARL, update),)
        peer.integrate()
        peer.disconnect(CARL)


def test_payloads_stay_while_an_integration_reads_them() -> None:
    peer = solo(ScheduleConfig(), BERT)
    peer.start()
    peer.greet(BERT)
    peer.take(BERT, make_update(BERT, 1, payload=b"old"), b"old")
    peer.train()
    effects = peer.take(BERT, make_update(BERT, 2, payload=b"new"), b"new")
    assert of_kind(effects, DropPayload) == []  # the running job reads the old one
    assert of_kind(peer.integrate(), DropPayload) == [
        DropPayload(content_hash=content_hash(b"old"))
    ]
