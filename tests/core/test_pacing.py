"""When an asynchronous peer integrates: at the ends of windows, or per so many arrivals."""

from p2pfed.core.config import IntegrationMoment, ScheduleConfig
from p2pfed.core.effects import StartIntegration
from p2pfed.core.timers import TimerKind
from p2pfed.identity import Identity
from p2pfed.messages import Heartbeat, Role
from tests.core.peers import BERT, CARL, DORA, make_update
from tests.core.solo import Cancelled, Set, Solo, of_kind, row, solo


def windows(*neighbors: Identity, role: Role = Role.TRAIN) -> Solo:
    schedule = ScheduleConfig(integrate=IntegrationMoment.WINDOW, window_s=10.0)
    return begun(solo(schedule, *neighbors, role=role), *neighbors)


def arrivals(count: int, *neighbors: Identity) -> Solo:
    schedule = ScheduleConfig(
        integrate=IntegrationMoment.ARRIVALS, arrivals=count, deadline_s=20.0, rounds_max=5
    )
    return begun(solo(schedule, *neighbors), *neighbors)


def begun(peer: Solo, *neighbors: Identity) -> Solo:
    peer.start()
    for who in neighbors:
        peer.greet(who)
    return peer


def finish_integration(peer: Solo) -> None:
    peer.integrate()
    peer.train(b"%d" % len(peer.jobs))


# Windows -------------------------------------------------------------------------------------


def test_what_comes_in_a_window_is_integrated_at_its_end() -> None:
    peer = windows(BERT, CARL)
    peer.now_s += 3.0
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 7.0)
    of_bert, of_carl = make_update(BERT), make_update(CARL)
    peer.take(BERT, of_bert)
    effects = peer.take(CARL, of_carl)
    assert of_kind(effects, StartIntegration) == []
    (integration,) = peer.fire(TimerKind.DEADLINE, after_s=7.0)
    assert integration.rows == (row(BERT, of_bert), row(CARL, of_carl))


def test_windows_are_counted_from_the_start_of_the_peer() -> None:
    schedule = ScheduleConfig(integrate=IntegrationMoment.WINDOW, window_s=10.0)
    peer = solo(schedule, BERT)
    peer.now_s += 4.0
    begun(peer, BERT)
    peer.now_s += 3.0
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 7.0)


def test_training_that_outlasts_a_window_ends_in_a_later_one() -> None:
    peer = windows(BERT)
    peer.now_s += 32.0
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 8.0)


def test_windows_are_equally_long_however_late_a_timer_fires() -> None:
    peer = windows(BERT)
    peer.now_s += 4.0
    peer.train(b"one")
    peer.fire(TimerKind.DEADLINE, after_s=7.0)  # one second late
    peer.integrate()
    peer.now_s += 2.0
    assert peer.train(b"two")[-1] == Set(TimerKind.DEADLINE, 7.0)


def test_a_window_without_rows_ends_all_the_same() -> None:
    peer = windows(BERT)
    peer.train()
    (integration,) = peer.fire(TimerKind.DEADLINE, after_s=10.0)
    assert integration.rows == ()


def test_a_relay_mixes_when_it_has_something_to_mix_and_not_by_windows() -> None:
    peer = windows(BERT, role=Role.RELAY)
    assert of_kind(peer.train(), Set) == []
    effects = peer.take(BERT, make_update(BERT))
    assert of_kind(effects, StartIntegration)


# Arrivals ------------------------------------------------------------------------------------


def test_so_many_arrivals_begin_an_integration() -> None:
    peer = arrivals(2, BERT, CARL, DORA)
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 20.0)
    of_bert, of_dora = make_update(BERT), make_update(DORA)
    peer.take(BERT, of_bert)
    _, cancelled, integration = peer.take(DORA, of_dora)
    assert cancelled == Cancelled(TimerKind.DEADLINE)
    assert integration.rows == (row(BERT, of_bert), row(DORA, of_dora))


def test_what_came_while_a_peer_trained_counts() -> None:
    peer = arrivals(1, BERT)
    peer.take(BERT, make_update(BERT))
    assert of_kind(peer.train(), StartIntegration)


def test_a_second_update_of_one_neighbor_is_no_second_arrival() -> None:
    peer = arrivals(2, BERT, CARL)
    peer.train()
    for sequence, payload in ((1, b"one"), (2, b"two")):
        effects = peer.take(BERT, make_update(BERT, sequence, payload=payload), payload)
        assert of_kind(effects, StartIntegration) == []


def test_nobody_waits_for_more_arrivals_than_there_are_neighbors() -> None:
    peer = arrivals(5, BERT, CARL)
    peer.train()
    peer.take(BERT, make_update(BERT))
    effects = peer.take(CARL, make_update(CARL))
    assert of_kind(effects, StartIntegration)
    alone = arrivals(1)
    assert of_kind(alone.train(), StartIntegration)


def test_a_neighbor_that_has_stopped_is_not_waited_for() -> None:
    peer = arrivals(1, BERT)
    peer.train()
    assert of_kind(peer.receive(BERT, Heartbeat(active=False, sightings=())), StartIntegration)


def test_who_let_a_deadline_pass_is_not_waited_for_until_it_sends_again() -> None:
    peer = arrivals(2, BERT, CARL)
    peer.train(b"first")
    peer.take(BERT, make_update(BERT))
    (integration,) = peer.fire(TimerKind.DEADLINE, after_s=20.0)
    assert len(integration.rows) == 1
    finish_integration(peer)
    effects = peer.take(BERT, make_update(BERT, 2, payload=b"two"), b"two")
    assert of_kind(effects, StartIntegration)  # Carl is late
    finish_integration(peer)
    peer.take(CARL, make_update(CARL))
    effects = peer.take(BERT, make_update(BERT, 3, payload=b"three"), b"three")
    assert of_kind(effects, StartIntegration)
    finish_integration(peer)
    effects = peer.take(BERT, make_update(BERT, 4, payload=b"four"), b"four")
    assert of_kind(effects, StartIntegration) == []  # and waited for again


def test_who_is_late_stays_so_when_another_one_lets_a_deadline_pass() -> None:
    peer = arrivals(3, BERT, CARL, DORA)
    peer.train(b"first")
    peer.take(BERT, make_update(BERT))
    peer.take(DORA, make_update(DORA))
    assert peer.fire(TimerKind.DEADLINE, after_s=20.0)  # Carl is late
    finish_integration(peer)
    peer.take(BERT, make_update(BERT, 2, payload=b"two"), b"two")
    assert peer.fire(TimerKind.DEADLINE, after_s=20.0)  # and Dora is, too
    finish_integration(peer)
    effects = peer.take(BERT, make_update(BERT, 3, payload=b"three"), b"three")
    assert of_kind(effects, StartIntegration)
