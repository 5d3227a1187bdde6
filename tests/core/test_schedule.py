"""Rounds of one peer: what it waits for, what it integrates, and when it stops."""

import math

import pytest

from p2pfed.core.config import ScheduleConfig, ScheduleMode
from p2pfed.core.effects import (
    CancelJob,
    DropPayload,
    IntegrationRow,
    StartIntegration,
    StartTraining,
)
from p2pfed.core.events import Command, CommandGiven, PayloadFailed, Verdict
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
from p2pfed.messages import Announce, Goodbye, GoodbyeReason, Heartbeat, Role
from p2pfed.wire.hashes import content_hash
from tests.core.peers import BERT, CARL, ROUNDS, make_config, make_core, make_hello, make_update
from tests.core.solo import (
    PROGRESS,
    Cancelled,
    Saved,
    Sent,
    Set,
    Solo,
    Told,
    messages_to,
    of_kind,
)


def solo(schedule: ScheduleConfig, *neighbors, role: Role = Role.TRAIN) -> Solo:
    return Solo(make_core(make_config(neighbors=neighbors, schedule=schedule, role=role)))


def row(author, signed, staleness: int = 0) -> IntegrationRow:
    return IntegrationRow(peer=author.peer, header=signed.header, staleness=staleness)


def finish_round(peer: Solo, payload: bytes) -> list[object]:
    peer.train(payload)
    return peer.integrate()


# Asynchronous ------------------------------------------------------------------------------


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
    peer.deliver(BERT, make_update(BERT, 2, payload=b"new"), b"new")
    assert of_kind(peer.validate(), DropPayload) == []  # the running job reads the old one
    assert of_kind(peer.integrate(), DropPayload) == [
        DropPayload(content_hash=content_hash(b"old"))
    ]


# Synchronous -------------------------------------------------------------------------------


def test_a_synchronous_round_waits_for_all_neighbors() -> None:
    peer = solo(ROUNDS, BERT, CARL)
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 30.0)
    of_carl, of_bert = make_update(CARL), make_update(BERT)
    peer.take(CARL, of_carl)
    peer.deliver(BERT, of_bert)
    assert peer.validate() == [
        Cancelled(TimerKind.DEADLINE),
        StartIntegration(
            job=4,
            round=0,
            rows=(row(BERT, of_bert), row(CARL, of_carl)),
            degree=2,
            evaluate=True,
            test=False,
        ),
    ]


def test_a_neighbor_one_round_ahead_gives_its_row_of_this_round() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    first = make_update(BERT, 1, payload=b"first")
    second = make_update(BERT, 2, payload=b"second", round_number=1)
    peer.take(BERT, first, b"first")
    peer.take(BERT, second, b"second")
    peer.train(b"one")
    assert peer.last(StartIntegration).rows == (row(BERT, first),)
    peer.integrate()
    peer.train(b"two")
    assert peer.last(StartIntegration).rows == (row(BERT, second),)


def test_the_deadline_goes_on_without_the_absent_and_does_not_wait_for_them_again() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    peer.train(b"one")
    (integration,) = peer.fire(TimerKind.DEADLINE, after_s=30.0)
    assert isinstance(integration, StartIntegration)
    assert integration.rows == ()
    peer.integrate()
    assert isinstance(peer.train(b"two")[-1], StartIntegration)


def test_the_row_of_a_straggler_counts_once_and_being_in_step_ends_its_absence() -> None:
    peer = solo(ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS), BERT)
    peer.start()
    peer.greet(BERT)
    peer.train(b"one")
    peer.fire(TimerKind.DEADLINE)
    peer.integrate()
    late = make_update(BERT, 1)
    peer.take(BERT, late)
    peer.train(b"two")
    assert peer.last(StartIntegration).rows == (row(BERT, late),)
    peer.integrate()
    peer.train(b"three")
    assert peer.last(StartIntegration).rows == ()
    peer.integrate()
    in_step = make_update(BERT, 2, payload=b"step", round_number=3)
    peer.take(BERT, in_step, b"step")
    peer.train(b"four")
    assert peer.last(StartIntegration).rows == (row(BERT, in_step),)
    peer.integrate()
    assert peer.train(b"five")[-1] == Set(TimerKind.DEADLINE, 30.0)  # waited for again


def test_a_neighbor_whose_link_is_lost_is_not_waited_for() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    peer.train()
    effects = peer.disconnect(BERT)
    assert of_kind(effects, StartIntegration) == [peer.last(StartIntegration)]


def test_a_configured_neighbor_never_met_is_waited_for_until_the_deadline() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 30.0)
    assert of_kind(peer.fire(TimerKind.DEADLINE), StartIntegration)


def test_a_neighbor_that_is_done_is_not_waited_for() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    peer.take(BERT, make_update(BERT))
    finish_round(peer, b"one")
    peer.train(b"two")
    effects = peer.receive(BERT, Heartbeat(active=False, sightings=()))
    assert effects == [Cancelled(TimerKind.DEADLINE), peer.last(StartIntegration)]


def test_what_a_neighbor_that_is_done_has_learned_is_waited_for_if_nothing_of_it_is_here() -> None:
    # A peer that comes back when the others are done would else integrate the rows of whoever is
    # quick to send some, liars for one.
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    peer.train()
    assert peer.receive(BERT, Heartbeat(active=False, sightings=())) == []
    peer.deliver(BERT, make_update(BERT, 9, round_number=8))
    assert of_kind(peer.validate(), StartIntegration)


def test_the_last_row_of_a_neighbor_that_is_done_is_waited_for_while_it_is_on_its_way() -> None:
    # A neighbor finishes as soon as it has all rows, while its own last one is still being
    # fetched here. Losing it would make the result depend on the speed of the network.
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    peer.take(BERT, make_update(BERT, 1))
    finish_round(peer, b"one")
    peer.train(b"two")
    update = make_update(BERT, 2, payload=b"last", round_number=1)
    peer.receive(BERT, Announce(update=update))
    assert peer.receive(BERT, Heartbeat(active=False, sightings=())) == []
    peer.arrive(content_hash(b"last"))
    assert of_kind(peer.validate(), StartIntegration) == [peer.last(StartIntegration)]
    assert peer.last(StartIntegration).rows == (row(BERT, update),)


def test_a_last_row_that_nobody_can_give_any_more_is_not_waited_for() -> None:
    peer = solo(ROUNDS, BERT)
    peer.start()
    peer.greet(BERT)
    peer.train()
    peer.receive(BERT, Announce(update=make_update(BERT)))
    peer.disconnect(BERT)
    lost = PayloadFailed(
        peer=BERT.peer, content_hash=content_hash(b"row"), bytes_done=0, offence=None
    )
    assert of_kind(peer.do(lost), StartIntegration)


def test_a_peer_that_reconnects_says_at_once_that_it_is_done() -> None:
    peer = solo(ScheduleConfig(rounds_max=0), BERT)
    peer.start()
    sent = messages_to(peer.greet(BERT), BERT)
    assert sent[-1] == Heartbeat(active=False, sightings=())


def test_rounds_of_neighbors_that_went_on_are_caught_up_with() -> None:
    peer = solo(ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS), BERT)
    peer.start()
    peer.greet(BERT)
    ahead = make_update(BERT, 9, round_number=8)
    peer.take(BERT, ahead)
    for payload in (b"one", b"two", b"three"):
        peer.train(payload)  # never waits: Bert's row serves for all rounds up to its own
        assert peer.last(StartIntegration).rows[0].header == ahead.header
        peer.integrate()


# Starting and stopping ---------------------------------------------------------------------


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


# Relays ------------------------------------------------------------------------------------


def relay(*neighbors, schedule: ScheduleConfig | None = None) -> Solo:
    """Return a relay that has published its first encoding and waits for something to mix."""
    peer = solo(schedule or ScheduleConfig(rounds_max=1), *neighbors, role=Role.RELAY)
    assert of_kind(peer.start(), StartTraining) == [
        StartTraining(job=1, round=0, train=False, degree=len(neighbors))
    ]
    for who in neighbors:
        peer.greet(who)
    peer.train(b"own")
    return peer


def test_a_relay_mixes_when_all_who_train_have_sent_something_new() -> None:
    peer = relay(BERT, CARL)
    peer.take(BERT, make_update(BERT))
    peer.deliver(CARL, make_update(CARL))
    (integration,) = of_kind(peer.validate(), StartIntegration)
    assert len(integration.rows) == 2
    assert not integration.evaluate  # it has no data


def test_a_relay_mixes_what_there_is_at_its_heartbeat() -> None:
    peer = relay(BERT, CARL)
    peer.take(BERT, make_update(BERT))
    assert of_kind(peer.fire(TimerKind.HEARTBEAT), StartIntegration)


def test_relays_beside_each_other_fall_silent() -> None:
    peer = solo(ScheduleConfig(), BERT, role=Role.RELAY)
    peer.start()
    peer.greet(BERT, make_hello(role=Role.RELAY))
    peer.train(b"own")
    peer.deliver(BERT, make_update(BERT))
    assert peer.validate() == []  # not at once, or two relays would answer each other for ever
    peer.fire(TimerKind.HEARTBEAT)
    peer.integrate()
    effects = peer.train(b"own")  # mixing has changed nothing
    assert effects == [Saved(PROGRESS, model_job=4)]
    assert peer.core.status().sequence == 1


def test_a_relay_ends_when_nobody_trains_any_more() -> None:
    peer = relay(BERT, CARL)
    peer.receive(BERT, Heartbeat(active=False, sightings=()))
    effects = peer.receive(CARL, Heartbeat(active=False, sightings=()))
    assert Told(Finished(reason=StopReason.ROUNDS, rounds=0)) in effects


def test_a_relay_outlives_a_short_absence_of_its_only_neighbor() -> None:
    peer = relay(BERT)
    peer.disconnect(BERT)
    assert peer.core.status().phase is Phase.COLLECTING
    peer.fire(TimerKind.HEARTBEAT, after_s=61.0)
    assert peer.core.status().phase is Phase.DONE


def test_a_relay_takes_part_in_synchronous_rounds() -> None:
    peer = relay(BERT, schedule=ROUNDS)
    peer.deliver(BERT, make_update(BERT))
    assert of_kind(peer.validate(), StartIntegration)
    peer.integrate()
    peer.train(b"own")  # unchanged, but the neighbors wait for the row of this round
    assert peer.core.status().sequence == 2


def test_a_synchronous_relay_without_a_plan_ends_with_the_others() -> None:
    peer = relay(BERT, schedule=ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS))
    peer.receive(BERT, Heartbeat(active=False, sightings=()))
    assert peer.core.status().phase is Phase.DONE
