"""Rounds of a peer that waits for its neighbors: for whom, and for how long."""

from p2pfed.core.config import ScheduleConfig, ScheduleMode
from p2pfed.core.effects import StartIntegration, StorePayload
from p2pfed.core.events import PayloadFailed
from p2pfed.core.timers import TimerKind
from p2pfed.messages import Announce, Heartbeat
from p2pfed.wire.hashes import content_hash
from tests.core.peers import BERT, CARL, ROUNDS, make_update
from tests.core.solo import Cancelled, Set, finish_round, messages_to, of_kind, row, solo


def test_a_synchronous_round_waits_for_all_neighbors() -> None:
    peer = solo(ROUNDS, BERT, CARL)
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    assert peer.train()[-1] == Set(TimerKind.DEADLINE, 30.0)
    of_carl, of_bert = make_update(CARL), make_update(BERT)
    peer.take(CARL, of_carl)
    assert peer.take(BERT, of_bert) == [
        StorePayload(content_hash=content_hash(b"row"), payload=b"row"),
        Cancelled(TimerKind.DEADLINE),
        StartIntegration(
            job=2,
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


def test_a_straggler_counts_however_many_rounds_it_is_behind() -> None:
    schedule = ScheduleConfig(mode=ScheduleMode.SYNCHRONOUS, staleness_rounds_max=1)
    peer = solo(schedule, BERT)
    peer.start()
    peer.greet(BERT)
    peer.train(b"one")
    peer.fire(TimerKind.DEADLINE)
    peer.integrate()
    for number in range(3):
        finish_round(peer, b"%d" % number)
    late = make_update(BERT, 1)
    peer.take(BERT, late)
    peer.train(b"last")
    assert peer.last(StartIntegration).rows == (row(BERT, late),)


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
    effects = peer.take(BERT, make_update(BERT, 9, round_number=8))
    assert of_kind(effects, StartIntegration)


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
