"""Rounds of a peer that has no data: when it mixes, and when it falls silent."""

from p2pfed.core.config import ScheduleConfig, ScheduleMode
from p2pfed.core.effects import StartIntegration, StartTraining
from p2pfed.core.notices import Finished, StopReason
from p2pfed.core.schedule import Phase
from p2pfed.core.timers import TimerKind
from p2pfed.messages import Heartbeat, Role
from tests.core.peers import BERT, CARL, ROUNDS, make_config, make_core, make_hello, make_update
from tests.core.solo import PROGRESS, Saved, Set, Solo, Told, of_kind, solo


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
    effects = peer.take(CARL, make_update(CARL))
    (integration,) = of_kind(effects, StartIntegration)
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
    effects = peer.take(BERT, make_update(BERT))
    assert of_kind(effects, StartIntegration) == []  # else they would answer each other for ever
    peer.fire(TimerKind.HEARTBEAT)
    peer.integrate()
    effects = peer.train(b"own")  # mixing has changed nothing
    assert effects == [Saved(PROGRESS, model_job=3)]
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


def reborn(peer: Solo, *neighbors) -> Solo:
    config = make_config(
        neighbors=neighbors, schedule=ScheduleConfig(rounds_max=1), role=Role.RELAY
    )
    again = Solo(make_core(config, entropy=b"next life", records=peer.disk))
    again.start()
    return again


def test_a_relay_that_mixed_before_a_restart_ends_when_nobody_comes_back() -> None:
    peer = relay(BERT)
    peer.take(BERT, make_update(BERT))
    peer.fire(TimerKind.HEARTBEAT)
    peer.integrate()
    again = reborn(peer, BERT)
    again.train(b"own")
    again.fire(TimerKind.HEARTBEAT, after_s=59.0)
    assert again.core.status().phase is Phase.COLLECTING
    again.fire(TimerKind.HEARTBEAT, after_s=1.0)
    assert again.core.status().phase is Phase.DONE


def test_a_relay_that_met_nobody_goes_on_waiting_after_a_restart() -> None:
    again = reborn(relay(), BERT)
    again.fire(TimerKind.HEARTBEAT, after_s=86_400.0)
    assert again.core.status().phase is Phase.COLLECTING


def test_a_relay_takes_part_in_synchronous_rounds() -> None:
    peer = relay(BERT, schedule=ROUNDS)
    effects = peer.take(BERT, make_update(BERT))
    assert of_kind(effects, StartIntegration)
    peer.integrate()
    peer.train(b"own")  # unchanged, but the neighbors wait for the row of this round
    assert peer.core.status().sequence == 2


def test_a_synchronous_relay_does_not_run_ahead_of_all_who_train() -> None:
    peer = relay(BERT, schedule=ROUNDS)
    peer.fire(TimerKind.DEADLINE)
    peer.integrate()
    assert peer.train(b"two")[-1] == Set(TimerKind.DEADLINE, 30.0)
    peer.take(BERT, make_update(BERT))  # late, but there is something to mix again
    assert peer.last(StartIntegration).round == 1
    peer.integrate()
    assert peer.train(b"three")[-1] == Set(TimerKind.DEADLINE, 30.0)
    effects = peer.receive(BERT, Heartbeat(active=False, sightings=()))
    assert of_kind(effects, StartIntegration)  # nothing will come any more


def test_a_synchronous_relay_without_a_plan_ends_with_the_others() -> None:
    peer = relay(BERT, schedule=ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS))
    peer.receive(BERT, Heartbeat(active=False, sightings=()))
    assert peer.core.status().phase is Phase.DONE
