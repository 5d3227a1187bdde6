"""Random events: a snapshot is the whole state, and equal histories give equal effects."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.core.config import (
    IntegrationMoment,
    ParticipationConfig,
    ScheduleConfig,
    ScheduleMode,
    StandingConfig,
)
from p2pfed.core.effects import (
    Effect,
    IntegrationRow,
    StartIntegration,
    StartTraining,
    StartValidation,
)
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
    Verdict,
)
from p2pfed.core.peer import PeerCore
from p2pfed.messages import Announce, Deliver
from p2pfed.wire import frames
from p2pfed.wire.hashes import content_hash
from tests.core.inspection import state_of
from tests.core.peers import (
    BERT,
    CARL,
    DORA,
    EARNING,
    make_config,
    make_core,
    make_payload,
    make_update,
)
from tests.core.solo import Solo
from tests.core.test_handle_contract import MESSAGES

PEERS = st.sampled_from([BERT.peer, CARL.peer, DORA.peer])
PAYLOADS = [b"row", b"one", b"two"]
HASHES = st.sampled_from([content_hash(payload) for payload in PAYLOADS])
OFFENCES = st.sampled_from([None, None, OffenceKind.CODEC, OffenceKind.PAYLOAD_HASH])


def _updates() -> list[bytes]:
    found = [frames.encode(message) for message in MESSAGES.values()]
    for author in (BERT, CARL, DORA):
        for sequence, payload in enumerate(PAYLOADS, start=1):
            signed = make_update(author, sequence, payload=payload, round_number=sequence - 1)
            found.append(frames.encode(Announce(update=signed)))
            found.append(frames.encode(Deliver(update=signed, payload=payload)))
        found.append(frames.encode(Announce(update=make_update(author, 3, payload=b"fork"))))
    return [*found, b"\xc1"]


# What refers to something that the core said is drawn as an index into what it has said.
STEPS = st.one_of(
    st.builds(PeerConnected, peer=PEERS),
    st.builds(PeerDisconnected, peer=PEERS),
    st.builds(DialFailed, peer=PEERS, reason=st.just("no route")),
    st.builds(FrameReceived, peer=PEERS, frame=st.sampled_from(_updates())),
    st.builds(PayloadArrived, content_hash=HASHES),
    st.builds(
        PayloadFailed,
        peer=PEERS,
        content_hash=HASHES,
        bytes_done=st.integers(0, 2),
        offence=OFFENCES,
    ),
    st.builds(
        PayloadWanted,
        peer=PEERS,
        token=st.integers(1, 5),
        content_hash=HASHES,
        offset=st.integers(-1, 4),
    ),
    st.builds(UploadEnded, peer=PEERS, token=st.integers(1, 5)),
    st.builds(CommandGiven, command=st.sampled_from([Command.START, Command.START, *Command])),
    st.tuples(st.just("timer"), st.integers(0, 9)),
    st.tuples(st.just("job"), st.integers(0, 9), st.sampled_from(PAYLOADS), OFFENCES),
)


def verdict_on(row: IntegrationRow, agreement: float) -> Verdict:
    return Verdict(
        peer=row.peer,
        weight=0.0,
        reason="",
        agreement=agreement,
        norm_ratio=1.0,
        gain=agreement - 0.5 if row.is_probed else None,
    )


def event_of(step: Any, peer: Solo) -> Event | None:
    """Return the event that a step stands for after what the core has said."""
    if not isinstance(step, tuple):
        return step
    if step[0] == "timer":
        timers = peer.timers
        return TimerFired(timer=timers[step[1] % len(timers)]) if timers else None
    if not peer.jobs:
        return None
    started = peer.jobs[-1 - step[1] % len(peer.jobs)]
    offence = step[3]
    match started:
        case StartValidation():
            return ValidationFinished(job=started.job, offence=offence)
        case StartTraining() | StartIntegration() if offence is not None:
            return JobFailed(job=started.job, reason="bad luck", cancelled=False)
        case StartTraining():
            payload = make_payload(step[2])
            return TrainingFinished(job=started.job, payload=payload, loss=0.5, examples=1)
        case _:
            verdicts = tuple(verdict_on(row, step[1] / 9.0) for row in started.rows)
            return IntegrationFinished(job=started.job, verdicts=verdicts, own_weight=1.0)


def take(peer: Solo, event: Event) -> list[Effect]:
    """Hand an event in, and forget a timer that fired."""
    before = len(peer.effects)
    if isinstance(event, TimerFired):
        peer.timers.remove(event.timer)
    peer.do(event)
    return peer.effects[before:]


@pytest.mark.interpreted
@pytest.mark.slow
@pytest.mark.parametrize("standing", [None, EARNING], ids=["alike", "earning"])
@settings(max_examples=150)
@given(
    steps=st.lists(st.tuples(STEPS, st.sampled_from([0.0, 0.1, 5.0])), max_size=60),
    cut=st.integers(0, 60),
    mode=st.sampled_from(ScheduleMode),
    integrate=st.sampled_from(IntegrationMoment),
)
def test_7_a_restored_peer_cannot_be_told_from_the_original(
    steps: list[tuple[Any, float]],
    cut: int,
    mode: ScheduleMode,
    integrate: IntegrationMoment,
    standing: StandingConfig | None,
) -> None:
    is_drawn = standing is not None and mode is ScheduleMode.ASYNCHRONOUS
    schedule = ScheduleConfig(
        mode=mode,
        integrate=integrate,
        recipients=1 if is_drawn else None,
        rounds_max=3,
        time_s_max=100.0,
    )
    config = make_config(
        neighbors=(BERT, CARL),
        schedule=schedule,
        standing=standing,
        participation=None if standing is None else ParticipationConfig(),
    )
    peer = Solo(make_core(config))
    twin: PeerCore | None = None
    for number, (step, pause_s) in enumerate(steps):
        if number == cut:
            twin = PeerCore.restore(peer.core.snapshot())
        peer.now_s += pause_s
        event = event_of(step, peer)
        if event is None:
            continue
        effects = take(peer, event)
        if twin is not None:
            assert twin.handle(event, now_s=peer.now_s) == effects
    if twin is not None:
        assert state_of(twin) == state_of(peer.core)
    # Whatever has happened, the next life finds a disk that it understands.
    make_core(config, entropy=b"next", records=peer.disk)
