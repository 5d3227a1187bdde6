"""Events, effects and configurations as values that JSON has."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3

from p2pfed.core import plain
from p2pfed.core.config import (
    CoreConfig,
    IntegrationMoment,
    ParticipationConfig,
    ScheduleConfig,
    UpdateFamily,
)
from p2pfed.core.effects import (
    Effect,
    IntegrationRow,
    Notify,
    SendFrame,
    SetTimer,
    StartIntegration,
    StorePayload,
)
from p2pfed.core.events import (
    Command,
    CommandGiven,
    DialFailed,
    Evaluation,
    Event,
    FrameReceived,
    IntegrationFinished,
    JobFailed,
    OffenceKind,
    PayloadArrived,
    PayloadFailed,
    PayloadReference,
    PayloadWanted,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
    TrainingFinished,
    UploadEnded,
    ValidationFinished,
    Verdict,
)
from p2pfed.core.notices import Left, PeerOffended
from p2pfed.core.timers import Timer, TimerKind
from p2pfed.errors import LocalError
from tests.core.peers import BERT, EARNING, make_config, make_update

HASH = bytes(range(32))
PEER = BERT.peer
VERDICT = Verdict(peer=PEER, weight=0.1, reason="", agreement=None, norm_ratio=1.5, gain=-0.0)
EVENTS: list[Event] = [
    PeerConnected(peer=PEER, remote_address="/ip4/192.0.2.1/tcp/4001"),
    PeerDisconnected(peer=PEER),
    DialFailed(peer=PEER, reason="Zeitüberschreitung \ud800"),
    FrameReceived(peer=PEER, frame=bytes(range(256)) * 9),
    TimerFired(timer=Timer(kind=TimerKind.REDIAL, generation=3, peer=PEER)),
    PayloadArrived(content_hash=HASH),
    PayloadFailed(peer=PEER, content_hash=HASH, bytes_done=7, offence=OffenceKind.CODEC),
    PayloadWanted(peer=PEER, token=1, content_hash=HASH, offset=0),
    UploadEnded(peer=PEER, token=1),
    ValidationFinished(job=1, offence=None),
    TrainingFinished(
        job=2,
        payload=PayloadReference(content_hash=HASH, size_bytes=3, inline=b"own"),
        loss=math.inf,
        examples=64,
        is_full=False,
    ),
    IntegrationFinished(
        job=3,
        verdicts=(VERDICT,),
        own_weight=0.9,
        evaluation=Evaluation(score=1, loss=0.1 + 0.2),
    ),
    JobFailed(job=4, reason="out of memory", cancelled=False, budget_spent=True),
    CommandGiven(command=Command.LEAVE),
]


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    found = plain.read_event(through_json(plain.write_event(event)))
    assert repr(found) == repr(event)  # 1 is no 1.0, and -0.0 no 0.0


def test_the_table_has_every_event() -> None:
    assert {type(event) for event in EVENTS} == set(Event.__args__)


def test_a_loss_that_is_no_number_comes_back() -> None:
    event = IntegrationFinished(
        job=1, verdicts=(), own_weight=1.0, evaluation=Evaluation(score=0.5, loss=math.nan)
    )
    found = plain.read_event(through_json(plain.write_event(event)))
    assert isinstance(found, IntegrationFinished)
    assert found.evaluation is not None
    assert math.isnan(found.evaluation.loss)


@pytest.mark.parametrize(
    "config",
    [
        make_config(),
        make_config(standing=EARNING, participation=ParticipationConfig()),
        replace(
            make_config(schedule=ScheduleConfig(integrate=IntegrationMoment.WINDOW)),
            family=UpdateFamily.LEDGER,
        ),
    ],
    ids=["least", "earning", "ledger"],
)
def test_a_configuration_comes_back_as_it_was(config: CoreConfig) -> None:
    assert plain.read_config(through_json(plain.write_config(config))) == config


EFFECTS: list[Effect] = [
    SendFrame(peer=PEER, frame=b"short"),
    SetTimer(timer=Timer(kind=TimerKind.START, generation=1), delay_s=math.inf),
    Notify(notice=Left()),
    Notify(notice=PeerOffended(peer=PEER, kind=OffenceKind.FRAME, detail="bad", banned_s=math.inf)),
    StartIntegration(
        job=1,
        round=0,
        rows=(IntegrationRow(peer=PEER, header=make_update(BERT).header, staleness=0),),
        degree=1,
        evaluate=True,
        test=False,
        last_lives=((PEER, 3),),
    ),
]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_an_effect_is_written_with_all_its_fields(effect: Effect) -> None:
    name, fields = through_json(plain.write_effect(effect))
    assert name == type(effect).__name__
    assert list(fields) == list(type(effect).__struct_fields__)


def test_of_a_long_payload_an_effect_has_size_and_hash() -> None:
    payload = bytes(plain.EFFECT_BYTES_MAX + 1)
    _, fields = plain.write_effect(StorePayload(content_hash=HASH, payload=payload))
    assert fields["payload"] == {"bytes": len(payload), "blake3": blake3(payload).hexdigest()}


GOOD = plain.write_event(EVENTS[0])[1]["peer"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ["Unknown", {}],
        [["PeerConnected"], {}],
        ["PeerConnected", []],
        ["PeerConnected", {}],
        ["PeerConnected", {"peer": "AAAA"}],
        ["PeerConnected", {"peer": "!"}],
        ["PeerConnected", {"peer": GOOD, "remote_address": 1}],
        ["PeerConnected", {"peer": GOOD, "other": 1}],
        ["UploadEnded", {"peer": GOOD, "token": True}],
        ["UploadEnded", {"peer": GOOD, "token": 1.0}],
        ["CommandGiven", {"command": "fly"}],
        ["CommandGiven", {"command": []}],
        ["IntegrationFinished", {"job": 1, "verdicts": {}, "own_weight": 1.0}],
        ["IntegrationFinished", {"job": 1, "verdicts": [], "own_weight": "one"}],
    ],
)
def test_what_is_no_event_is_refused(value: Any) -> None:
    with pytest.raises(LocalError):
        plain.read_event(value)
