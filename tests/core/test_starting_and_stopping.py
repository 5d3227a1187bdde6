"""When a peer begins its first round, and what ends its training."""

import math

import pytest
from msgspec.structs import replace

from p2pfed.core.config import ScheduleConfig, ScheduleMode
from p2pfed.core.effects import CancelJob, DropPayload, StartIntegration, StartTraining
from p2pfed.core.events import Command, CommandGiven
from p2pfed.core.notices import Finished, JobTrouble, Left, NeighborsAwaited, StopReason
from p2pfed.core.schedule import Phase
from p2pfed.core.timers import TimerKind
from p2pfed.messages import Goodbye, GoodbyeReason, Heartbeat
from p2pfed.wire.hashes import content_hash
from tests.core.peers import BERT, CARL, make_config, make_core
from tests.core.solo import (
    PROGRESS,
    Cancelled,
    Saved,
    Sent,
    Set,
    Solo,
    Told,
    beat,
    messages_to,
    of_kind,
    solo,
)


def test_the_first_round_waits_for_neighbors() -> None:
    peer = solo(ScheduleConfig(start_neighbors=1), BERT)
    assert peer.start()[-1] == Set(TimerKind.START, 60.0)
    assert peer.greet(BERT)[-2:] == [
        Cancelled(TimerKind.START),
        StartTraining(job=1, round=0, train=True, degree=1),
    ]


def test_the_first_round_does_not_wait_for_ever() -> None:
    peer = solo(ScheduleConfig(start_neighbors=1), BERT)
    peer.start()
    assert peer.fire(TimerKind.START, after_s=60.0) == [
        StartTraining(job=1, round=0, train=True, degree=1)
    ]


def test_a_peer_says_for_whom_it_waits() -> None:
    peer = solo(ScheduleConfig(start_neighbors=2), BERT, CARL)
    (told,) = of_kind(peer.start(), Told)
    expected = NeighborsAwaited(
        wanted=2, present=0, missing=(BERT.peer, CARL.peer), wait_s_max=60.0, is_over=False
    )
    assert told == Told(expected)
    told = of_kind(peer.greet(CARL), Told)[-1]
    assert told == Told(replace(expected, present=1, missing=(BERT.peer,)))
    assert not [it for it in of_kind(peer.receive(CARL, beat()), Told)]


def test_training_is_given_up_without_the_neighbors_that_it_needs() -> None:
    peer = solo(ScheduleConfig(start_neighbors=1, start_required=True), BERT)
    peer.start()
    effects = peer.fire(TimerKind.START, after_s=60.0)
    missing = NeighborsAwaited(
        wanted=1, present=0, missing=(BERT.peer,), wait_s_max=60.0, is_over=True
    )
    assert of_kind(effects, Told) == [
        Told(missing),
        Told(Finished(reason=StopReason.NEIGHBORS, rounds=0)),
    ]
    assert Set(TimerKind.LINGER, 0.0) in effects


@pytest.mark.parametrize(("is_required", "phase"), [(True, "waiting"), (False, "training")])
def test_a_later_start_waits_for_required_neighbors_only(is_required: bool, phase: str) -> None:
    peer = solo(ScheduleConfig())
    peer.start()
    peer.train()
    peer.integrate()
    config = make_config(
        neighbors=(BERT,),
        schedule=ScheduleConfig(start_neighbors=1, start_required=is_required),
    )
    again = Solo(make_core(config, records=peer.disk))
    again.start()
    assert again.core.status().phase == phase
    assert again.core.status().round == 1


def test_an_update_that_was_out_before_a_restart_is_not_trained_anew() -> None:
    schedule = ScheduleConfig(start_neighbors=1, start_required=True, mode=ScheduleMode.SYNCHRONOUS)
    config = make_config(neighbors=(BERT,), schedule=schedule)
    peer = Solo(make_core(config))
    peer.start()
    peer.greet(BERT)
    peer.train()
    again = Solo(make_core(config, records=peer.disk))
    again.start()
    again.greet(BERT)
    assert again.core.status().phase == Phase.COLLECTING


def test_the_last_round_is_tested_and_ends_with_its_figures() -> None:
    peer = solo(ScheduleConfig(rounds_max=1))
    peer.start()
    peer.train()
    assert peer.last(StartIntegration).evaluate
    assert peer.last(StartIntegration).test
    assert Told(Finished(reason=StopReason.ROUNDS, rounds=1)) in peer.integrate(
        score=0.5, test_score=0.4
    )


def test_a_bench_without_test_data_does_not_keep_the_peer_from_ending() -> None:
    peer = solo(ScheduleConfig(rounds_max=1))
    peer.start()
    peer.train()
    assert Told(Finished(reason=StopReason.ROUNDS, rounds=1)) in peer.integrate(score=0.5)


def test_the_best_model_is_marked() -> None:
    peer = solo(ScheduleConfig())
    peer.start()
    best = []
    for number, score in enumerate((0.5, 0.4, 0.6, 0.6)):
        peer.train(b"%d" % number)
        (saved,) = of_kind(peer.integrate(score=score), Saved)
        best.append(saved.best)
    assert best == [True, False, True, False]


def test_a_plateau_ends_training_with_a_test() -> None:
    peer = solo(ScheduleConfig(plateau_evaluations=2))
    peer.start()
    for number, score in enumerate((0.5, 0.5)):
        peer.train(b"%d" % number)
        peer.integrate(score=score)
    peer.train(b"last")
    assert peer.integrate(score=0.5)[-1] == StartIntegration(
        job=7, round=3, rows=(), degree=0, evaluate=True, test=True
    )
    assert Told(Finished(reason=StopReason.PLATEAU, rounds=3)) in peer.integrate(score=0.5)


def test_slow_growth_is_no_plateau() -> None:
    peer = solo(ScheduleConfig(plateau_evaluations=3, plateau_delta=0.02))
    peer.start()
    for number in range(12):
        peer.train(b"%d" % number)
        peer.integrate(score=0.5 + 0.01 * number)
    assert peer.core.status().phase is Phase.TRAINING


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_diverged_model_is_no_crash_and_never_the_best(score: float) -> None:
    peer = solo(ScheduleConfig(plateau_evaluations=1))
    peer.start()
    peer.train()
    (saved, *_) = peer.integrate(score=score)
    assert saved == Saved(PROGRESS, model_job=2, best=False)


def test_time_runs_out_in_a_job_which_is_cancelled_first() -> None:
    peer = solo(ScheduleConfig(time_s_max=100.0))
    peer.start()
    assert peer.fire(TimerKind.TIME_LIMIT, after_s=100.0) == [CancelJob(job=1)]
    assert peer.fail(cancelled=True) == [
        StartIntegration(job=2, round=0, rows=(), degree=0, evaluate=True, test=True)
    ]
    assert of_kind(peer.integrate(score=0.5, test_score=0.5), Told)[-1] == Told(
        Finished(reason=StopReason.TIME, rounds=0)
    )


def test_a_spent_budget_ends_training_with_a_test() -> None:
    peer = solo(ScheduleConfig())
    peer.start()
    assert peer.fail(budget_spent=True) == [
        Told(JobTrouble(reason="the budget is spent")),
        StartIntegration(job=2, round=0, rows=(), degree=0, evaluate=True, test=True),
    ]
    assert of_kind(peer.integrate(score=0.5, test_score=0.5), Told)[-1] == Told(
        Finished(reason=StopReason.BUDGET, rounds=0)
    )
    assert peer.core.status().phase is Phase.DONE


def test_a_spent_budget_ends_training_at_once_where_nothing_is_evaluated() -> None:
    peer = solo(ScheduleConfig(evaluate_every_rounds=0))
    peer.start()
    assert Told(Finished(reason=StopReason.BUDGET, rounds=0)) in peer.fail(budget_spent=True)


def test_time_that_runs_out_between_jobs_is_tested_at_once() -> None:
    peer = solo(ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS, time_s_max=10.0), BERT)
    peer.start()
    peer.train()
    (test,) = peer.fire(TimerKind.TIME_LIMIT)
    assert isinstance(test, StartIntegration)
    assert peer.fire(TimerKind.DEADLINE) == []


def test_an_integration_that_ends_after_its_cancellation_does_not_count() -> None:
    peer = solo(ScheduleConfig(time_s_max=10.0))
    peer.start()
    peer.train()
    peer.fire(TimerKind.TIME_LIMIT)
    assert peer.integrate(score=0.5) == [peer.last(StartIntegration)]
    assert peer.core.status().model_job == 1
    assert peer.core.status().round == 0


def test_a_result_that_comes_after_its_cancellation_is_dropped() -> None:
    peer = solo(ScheduleConfig(time_s_max=100.0))
    peer.start()
    peer.fire(TimerKind.TIME_LIMIT)
    assert peer.train(b"late")[0] == DropPayload(content_hash=content_hash(b"late"))
    assert peer.core.status().sequence == 0


def test_training_time_counts_over_restarts() -> None:
    peer = solo(ScheduleConfig(time_s_max=100.0))
    peer.start()
    peer.train(b"one")
    peer.now_s += 60.0
    peer.integrate()
    config = make_config(neighbors=(), schedule=ScheduleConfig(time_s_max=100.0))
    again = Solo(make_core(config, records=peer.disk))
    assert Set(TimerKind.TIME_LIMIT, 40.0) in again.start()


def test_stop_ends_training_now_and_serves_on() -> None:
    peer = solo(ScheduleConfig(), BERT)
    peer.start()
    peer.greet(BERT)
    assert peer.do(CommandGiven(command=Command.STOP)) == [
        CancelJob(job=1),
        Saved(PROGRESS),
        Told(Finished(reason=StopReason.COMMAND, rounds=0)),
        Set(TimerKind.LINGER, 60.0),
        Sent(BERT.peer, Heartbeat(active=False, sightings=())),
    ]
    assert peer.do(CommandGiven(command=Command.STOP)) == []


def test_leave_says_goodbye_and_turns_newcomers_away() -> None:
    peer = solo(ScheduleConfig(), BERT)
    peer.start()
    peer.greet(BERT)
    effects = peer.do(CommandGiven(command=Command.LEAVE))
    goodbye = Goodbye(reason=GoodbyeReason.LEAVING, text="this peer leaves the run")
    assert messages_to(effects, BERT) == [goodbye]
    assert effects[-1] == Told(Left())
    assert peer.timers == []
    assert messages_to(peer.connect(CARL), CARL) == [goodbye]
    assert peer.do(CommandGiven(command=Command.LEAVE)) == []
    assert peer.do(CommandGiven(command=Command.START)) == []


def test_stop_before_start_counts_no_time() -> None:
    peer = solo(ScheduleConfig())
    peer.do(CommandGiven(command=Command.STOP))
    again = Solo(make_core(make_config(neighbors=()), records=peer.disk))
    assert of_kind(again.start(), StartTraining)


def test_a_job_that_keeps_failing_ends_training() -> None:
    peer = solo(ScheduleConfig(job_attempts_max=2))
    peer.start()
    peer.fail()
    peer.fire(TimerKind.RETRY)
    assert Told(Finished(reason=StopReason.FAILED, rounds=0)) in peer.fail()


def test_a_last_test_that_fails_does_not_hide_why_training_ended() -> None:
    peer = solo(ScheduleConfig(plateau_evaluations=1))
    peer.start()
    peer.train(b"one")
    peer.integrate(score=0.5)
    peer.train(b"two")
    peer.integrate(score=0.5)
    assert Told(Finished(reason=StopReason.PLATEAU, rounds=2)) in peer.fail()


def test_stop_cuts_the_last_test_short() -> None:
    peer = solo(ScheduleConfig(time_s_max=10.0))
    peer.start()
    peer.fire(TimerKind.TIME_LIMIT)
    assert Told(Finished(reason=StopReason.TIME, rounds=0)) in peer.do(
        CommandGiven(command=Command.STOP)
    )
