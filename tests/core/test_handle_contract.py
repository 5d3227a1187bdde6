"""The seven sentences of the contract of `PeerCore.handle`, a test or more for each."""

import os
import subprocess
import sys
from typing import get_args

import pytest

from p2pfed.core.config import ScheduleConfig, StandingConfig
from p2pfed.core.effects import Save, SendFrame
from p2pfed.core.equivocation import make_evidence
from p2pfed.core.events import (
    Command,
    CommandGiven,
    DialFailed,
    Event,
    FrameReceived,
    IntegrationFinished,
    JobFailed,
    OffenceKind,
    PayloadArrived,
    PayloadFailed,
    PayloadWanted,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    TrainingFinished,
    UploadEnded,
    ValidationFinished,
)
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.limits import Limits
from p2pfed.messages import (
    Announce,
    Deliver,
    Evidence,
    Goodbye,
    GoodbyeReason,
    Head,
    Heads,
    Heartbeat,
    Hello,
    Message,
    PeerRecords,
    RequestFull,
    RequestHeads,
    RequestRange,
    RequestUpdates,
    Sighting,
)
from p2pfed.wire import headers
from p2pfed.wire.hashes import content_hash
from tests.core.inspection import memory_bytes, state_of
from tests.core.peers import (
    ANNA,
    BERT,
    CARL,
    DORA,
    EARNING,
    LIFE,
    REMEMBERED_MAX,
    RUN_ID,
    START_S,
    address_of,
    make_config,
    make_core,
    make_hello,
    make_payload,
    make_update,
    stranger,
)
from tests.core.solo import Sent, Solo, beat, of_kind

UPDATE = make_update(CARL, 2)
SEEN = Sighting(author=CARL.peer, incarnation=LIFE, sequence=9, update_id=bytes(32))
MESSAGES: dict[type, Message] = {
    Hello: make_hello(),
    Announce: Announce(update=make_update(CARL, 3, payload=b"large")),
    Deliver: Deliver(update=make_update(CARL, 3), payload=b"row"),
    Heads: Heads(
        digest=content_hash(b"vector"),
        entries=(Head(author=CARL.peer, incarnation=LIFE, sequence=9),),
        cursor=(CARL.peer, LIFE),
    ),
    RequestUpdates: RequestUpdates(update_ids=(UPDATE.update_id,)),
    RequestRange: RequestRange(author=CARL.peer, incarnation=LIFE, first=1, last=9),
    RequestFull: RequestFull(author=CARL.peer),
    RequestHeads: RequestHeads(after=None),
    Heartbeat: Heartbeat(active=False, sightings=(SEEN,)),
    Evidence: make_evidence(make_update(CARL, 7), make_update(CARL, 7, payload=b"x")),
    PeerRecords: PeerRecords(
        records=(
            headers.sign_record(
                run_id=RUN_ID, version=5, addresses=(address_of(DORA),), identity=DORA
            ),
        )
    ),
    Goodbye: Goodbye(reason=GoodbyeReason.LEAVING, text="bye"),
}


# The contract holds whether all neighbors count alike or not.
both = pytest.mark.parametrize("standing", [None, EARNING], ids=["alike", "earning"])


def busy(standing: StandingConfig | None = None) -> Solo:
    """Return a peer in training with two neighbors and an update of one of them."""
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL), standing=standing)))
    peer.start()
    peer.greet(BERT)
    peer.greet(CARL)
    peer.take(CARL, UPDATE)
    return peer


# 1. Effects in the order in which they must start; never raises for what a peer sent ---------


@both
def test_1_what_must_be_durable_comes_before_what_shows_it(standing: StandingConfig | None) -> None:
    peer = busy(standing)
    effects = peer.core.handle(
        TrainingFinished(job=1, payload=make_payload(b"own"), loss=None, examples=0),
        now_s=peer.now_s,
    )
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Save) < kinds.index(SendFrame)


@both
def test_1_no_message_of_a_neighbor_raises_whatever_state_the_peer_is_in(
    standing: StandingConfig | None,
) -> None:
    for message in MESSAGES.values():
        for who in (BERT, DORA):
            busy(standing).receive(who, message)  # greeted, and not connected at all
            Solo().receive(who, message)
            half_way = Solo()
            half_way.connect(who)
            half_way.receive(who, message)
            left = busy(standing)
            left.do(CommandGiven(command=Command.LEAVE))
            left.receive(who, message)
    # Mutated frames: see test_fuzz.py.


# 2. Total over Event -------------------------------------------------------------------------

EVENTS: tuple[Event, ...] = (
    PeerConnected(peer=DORA.peer),
    PeerDisconnected(peer=DORA.peer),
    DialFailed(peer=DORA.peer, reason="no route"),
    FrameReceived(peer=DORA.peer, frame=b"\xc0"),
    TimerFired(timer=Timer(kind=TimerKind.DEADLINE, generation=77)),
    PayloadArrived(content_hash=bytes(32)),
    PayloadFailed(peer=DORA.peer, content_hash=bytes(32), bytes_done=0, offence=None),
    PayloadWanted(peer=DORA.peer, token=1, content_hash=bytes(32), offset=0),
    UploadEnded(peer=DORA.peer, token=1),
    ValidationFinished(job=77, offence=None),
    TrainingFinished(job=77, payload=make_payload(b"x"), loss=None, examples=0),
    IntegrationFinished(job=77, verdicts=(), own_weight=1.0),
    JobFailed(job=77, reason="", cancelled=False),
    CommandGiven(command=Command.START),
)


@both
def test_2_every_event_is_handled_in_every_phase(standing: StandingConfig | None) -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    left = busy(standing)
    left.do(CommandGiven(command=Command.LEAVE))
    for peer in (Solo(), busy(standing), left):
        for event in EVENTS:
            peer.do(event)


# 3. The same frame twice changes nothing -----------------------------------------------------


def test_3_every_message_is_tried() -> None:
    assert set(MESSAGES) == set(get_args(Message))


@both
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_3_the_same_frame_twice_changes_nothing_the_second_time(
    kind: type, standing: StandingConfig | None
) -> None:
    peer = busy(standing)
    if kind is Hello:
        peer.disconnect(BERT)
        peer.connect(BERT)
    peer.receive(BERT, MESSAGES[kind])
    once = state_of(peer.core)
    effects = peer.receive(BERT, MESSAGES[kind])
    assert state_of(peer.core) == once
    # Answers may be given again; nothing else is done again.
    assert of_kind(effects, Sent) == effects


@pytest.mark.interpreted
def test_3_state_is_not_blind() -> None:
    peer = busy()
    before = state_of(peer.core)
    peer.receive(BERT, MESSAGES[Announce])
    assert state_of(peer.core) != before


# 4. Effects and memory are bounded -----------------------------------------------------------


def crowd(standing: StandingConfig | None) -> tuple[Solo, list]:
    """Return a peer with as many greeted neighbors as it may have, configured and strangers."""
    configured = tuple(stranger(number) for number in range(32))
    peer = Solo(make_core(make_config(neighbors=configured, standing=standing)))
    peer.start()
    everybody = [*configured, *(stranger(number) for number in range(32, 64))]
    for who in everybody:
        peer.greet(who)
    assert len(peer.core.status().neighbors) == 64
    return peer, everybody


@both
@pytest.mark.slow
def test_4_the_most_that_one_event_can_cause_is_within_the_bound(
    standing: StandingConfig | None,
) -> None:
    # `handle` asserts the bound itself; these are the events that cause most.
    peer, everybody = crowd(standing)
    same = b"the same bytes"
    for who in everybody:
        peer.receive(who, Announce(update=make_update(who, payload=same)))
    peer.arrive(content_hash(same))
    peer.validate_all()
    ids = tuple(make_update(who, payload=same).update_id for who in everybody)
    peer.receive(everybody[0], RequestUpdates(update_ids=ids))
    peer.train()
    peer.integrate(agreement=0.9)
    assert len(peer.fire(TimerKind.HEARTBEAT)) >= 64
    # All fall silent at once, the strangers among them with everything that they sent.
    assert len(peer.fire(TimerKind.HEARTBEAT, after_s=100.0)) >= 192
    assert peer.core.status().neighbors == ()


@both
@pytest.mark.slow
@pytest.mark.no_cover
def test_4_memory_stays_bounded_under_a_flood_of_strangers(
    standing: StandingConfig | None,
) -> None:
    limits = Limits(authors_max=300, known_peers_max=100)
    schedule = ScheduleConfig(rounds_max=None)
    config = make_config(limits=limits, schedule=schedule, standing=standing)
    peer = Solo(make_core(config))
    peer.start()
    weights = []
    offered = Announce(update=make_update(BERT))
    for number in range(900):
        who = stranger(number)
        peer.greet(who)
        peer.receive(who, MESSAGES[PeerRecords])
        payload = bytes(1_000) + who.peer
        peer.fetch(who, make_update(who, payload=payload), payload)
        peer.validate(OffenceKind.CODEC if number % 2 else None)
        peer.receive(who, offered)
        peer.receive(who, RequestFull(author=ANNA.peer))
        peer.train()
        peer.integrate(agreement=0.9)
        peer.do(FrameReceived(peer=who.peer, frame=b"\xc1"))
        peer.disconnect(who)
        peer.effects.clear()
        peer.jobs = peer.jobs[-1:]
        if number in (450, 899):
            weights.append(memory_bytes(peer.core))
    assert weights[1] < 1.05 * weights[0]
    # One header and what is held against it per author, and no payload of anybody who is gone.
    assert weights[1] < 300 * 4_000
    assert len(peer.disk) <= 300 + 2 * REMEMBERED_MAX + 1


@both
@pytest.mark.slow
def test_4_memory_stays_bounded_under_floods_of_neighbors(standing: StandingConfig | None) -> None:
    # At full scale this is 64 neighbors with 64 headers and 3 inline payloads each, and 4,096
    # authors with one header: measured on 4 and scaled up.
    peer = busy(standing)
    payloads = [bytes([number]) * 32_000 for number in range(4)]
    for who in (BERT, CARL):
        for sequence in range(10, 90):
            payload = payloads[sequence % 4]
            peer.deliver(who, make_update(who, sequence, payload=payload), payload)
            seen = make_update(who, sequence, payload=b"%d" % sequence)
            fields = seen.header
            forged = Sighting(
                author=fields.author,
                incarnation=fields.incarnation,
                sequence=fields.sequence,
                update_id=seen.update_id,
            )
            peer.receive(who, beat(forged))
            ids = tuple(content_hash(b"%d %d" % (sequence, n)) for n in range(64))
            peer.receive(who, RequestUpdates(update_ids=ids))
    assert len(peer.core.status().neighbors) == 2
    base = memory_bytes(Solo(make_core(make_config(neighbors=(BERT, CARL)))).core)
    per_neighbor = (memory_bytes(peer.core) - base) / 2
    per_author = 4_000  # see the test above
    limits = Limits()
    total = limits.neighbors_max * per_neighbor + limits.authors_max * per_author
    assert total < limits.memory_bytes_max


# 5. Stale timers and answers -----------------------------------------------------------------


@both
@pytest.mark.parametrize("kind", TimerKind)
def test_5_a_timer_that_was_replaced_or_never_set_is_ignored_and_counted(
    kind: TimerKind, standing: StandingConfig | None
) -> None:
    peer = busy(standing)
    before = state_of(peer.core)
    running = [timer for timer in peer.timers if timer.kind is kind]
    generation = running[0].generation - 1 if running else 1
    timer = Timer(kind=kind, generation=generation, peer=BERT.peer)
    assert peer.do(TimerFired(timer=timer)) == []
    assert state_of(peer.core) == before
    assert peer.counted("stale.timer") == 1


def test_5_a_timer_fires_once() -> None:
    peer = busy()
    timer = peer.timer(TimerKind.HEARTBEAT)
    peer.fire(TimerKind.HEARTBEAT)
    assert peer.do(TimerFired(timer=timer)) == []


@both
@pytest.mark.parametrize(
    "event",
    [
        ValidationFinished(job=99, offence=None),
        IntegrationFinished(job=99, verdicts=(), own_weight=1.0),
        JobFailed(job=99, reason="", cancelled=False),
        IntegrationFinished(job=2, verdicts=(), own_weight=1.0),  # it was a validation, and is over
    ],
    ids=lambda event: type(event).__name__,
)
def test_5_an_answer_to_an_unknown_job_is_ignored_and_counted(
    event: Event, standing: StandingConfig | None
) -> None:
    peer = busy(standing)
    before = state_of(peer.core)
    assert peer.do(event) == []
    assert state_of(peer.core) == before
    assert peer.counted("stale.job") == 1


def test_5_an_answer_given_twice_does_not_drop_what_it_brought() -> None:
    peer = busy()
    finished = TrainingFinished(job=1, payload=make_payload(b"own"), loss=None, examples=0)
    peer.do(finished)
    assert peer.do(finished) == []
    assert peer.core.own_payload() == make_payload(b"own")


# 6. Equal inputs, equal effects --------------------------------------------------------------


def script(peer: Solo) -> list[object]:
    """Play a little of everything."""
    effects: list[object] = []
    effects += peer.start()
    for who in (CARL, BERT, *(stranger(number) for number in range(5))):
        effects += peer.greet(who)
        effects += peer.receive(who, MESSAGES[PeerRecords])
        effects += peer.fetch(who, make_update(who, payload=who.peer), who.peer)
    effects += peer.validate()
    effects += peer.train(b"own")
    effects += peer.receive(CARL, MESSAGES[Heads])
    effects += peer.receive(BERT, MESSAGES[Heartbeat])
    effects += peer.receive(BERT, MESSAGES[Evidence])
    effects += peer.fire(TimerKind.HEARTBEAT, after_s=1.0)
    effects += peer.integrate(agreement=0.9)
    effects += peer.disconnect(BERT)
    effects += peer.fire(TimerKind.HEARTBEAT, after_s=60.0)
    return effects


def trace() -> str:
    peer = Solo(make_core(make_config(neighbors=(BERT, CARL), standing=EARNING)))
    script(peer)
    return content_hash(repr(peer.effects).encode()).hex()


def test_6_equal_inputs_give_equal_effects() -> None:
    assert trace() == trace()


@pytest.mark.slow
def test_6_effects_do_not_depend_on_the_hash_seed() -> None:
    code = "from tests.core.test_handle_contract import trace; print(trace())"
    digests = set()
    for hash_seed in ("0", "1", "42"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert digests == {trace()}


def test_6_other_entropy_gives_another_life() -> None:
    hellos = set()
    for entropy in (b"one", b"two"):
        peer = Solo(make_core(entropy=entropy))
        (sent,) = [e for e in peer.core.handle(PeerConnected(peer=BERT.peer), now_s=START_S)]
        assert isinstance(sent, SendFrame)
        hellos.add(sent.frame)
    assert len(hellos) == 2


# 7. A snapshot is the whole state: by hypothesis in test_random_events.py --------------------


@pytest.mark.interpreted
@both
def test_7_a_snapshot_does_not_change_with_the_peer(standing: StandingConfig | None) -> None:
    peer = busy(standing)
    snapshot = peer.core.snapshot()
    before = state_of(type(peer.core).restore(snapshot))
    peer.train()
    peer.integrate(agreement=0.9)
    assert state_of(type(peer.core).restore(snapshot)) == before
