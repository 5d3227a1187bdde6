"""What a peer saves, and how it goes on in its next life."""

import contextlib

import pytest

from p2pfed.core.config import ScheduleConfig
from p2pfed.core.effects import (
    Notify,
    Save,
    SendFrame,
    StartIntegration,
    StartTraining,
)
from p2pfed.core.events import Command, CommandGiven, FrameReceived
from p2pfed.core.journal import PROGRESS_KEY
from p2pfed.core.notices import Finished, StopReason
from p2pfed.core.records import decode_author, decode_progress
from p2pfed.core.timers import TimerKind
from p2pfed.errors import LocalError
from p2pfed.messages import Announce, Deliver, Hello
from p2pfed.wire import canonical, frames
from tests.core.peers import (
    BERT,
    CARL,
    ROUNDS,
    make_config,
    make_core,
    make_payload,
)
from tests.core.solo import Set, Solo, Told, messages_to, of_kind


def reborn(peer: Solo, *, entropy: bytes = b"next life", **config) -> Solo:
    core = make_core(make_config(**config), entropy=entropy, records=peer.disk)
    again = Solo(core)
    again.disk = dict(peer.disk)
    return again


def life_of(peer: Solo) -> int:
    hello = messages_to(peer.connect(CARL), CARL)[0]
    assert isinstance(hello, Hello)
    return hello.incarnation


# The barrier -------------------------------------------------------------------------------


def test_a_save_precedes_every_frame_that_carries_its_sequence_number() -> None:
    peer = Solo()
    peer.start()
    peer.greet(BERT)
    for number in range(3):
        peer.train(b"%d" % number)
        peer.integrate()
    saved = 0
    sent = 0
    for effect in peer.effects:
        if isinstance(effect, Save):
            for record in effect.records:
                assert record.value is not None
                own = decode_progress(record.value).own
                saved = 0 if own is None else own.header.sequence
        if isinstance(effect, SendFrame):
            message = frames.decode(effect.frame)
            if isinstance(message, Announce | Deliver):
                sent += 1
                assert message.update.header.sequence <= saved
    assert sent == 3


def test_a_round_is_durable_before_anybody_is_told() -> None:
    peer = Solo()
    peer.start()
    peer.train()
    peer.integrate()
    for index, effect in enumerate(peer.effects):
        if isinstance(effect, Notify):
            assert any(isinstance(before, Save) for before in peer.effects[:index])


# The next life -----------------------------------------------------------------------------


def test_a_peer_killed_in_training_repeats_the_round() -> None:
    peer = Solo()
    peer.start()
    peer.train(b"one")
    peer.integrate()
    again = reborn(peer)
    (training,) = of_kind(again.start(), StartTraining)
    assert training.round == 1
    assert again.core.status().sequence == 1
    assert again.core.status().model_job == 2
    assert training.job > 2


def test_a_peer_killed_after_publishing_integrates_and_uses_no_sequence_twice() -> None:
    peer = Solo()
    peer.start()
    peer.train(b"one")
    again = reborn(peer)
    assert of_kind(again.start(), StartIntegration)
    again.integrate()
    again.train(b"two")
    assert again.core.status().sequence == 2
    assert life_of(again) == life_of(peer)


def test_the_newest_own_update_is_served_again() -> None:
    peer = Solo()
    peer.start()
    peer.train(b"one")
    again = reborn(peer)
    assert again.core.own_payload() == make_payload(b"one")
    assert Solo().core.own_payload() is None


def test_a_peer_without_a_disk_begins_another_life() -> None:
    lives = {life_of(Solo(make_core(entropy=bytes([number])))) for number in range(5)}
    assert len(lives) == 5


def test_a_finished_peer_that_is_started_again_serves_and_does_not_train() -> None:
    peer = Solo(make_core(make_config(schedule=ScheduleConfig(rounds_max=1))))
    peer.start()
    peer.train()
    peer.integrate(score=0.5, test_score=0.5)
    effects = reborn(peer, schedule=ScheduleConfig(rounds_max=1)).start()
    assert Told(Finished(reason=StopReason.ROUNDS, rounds=1)) in effects
    assert of_kind(effects, StartTraining) == []


def test_a_peer_whose_time_is_over_does_not_train_again() -> None:
    schedule = ScheduleConfig(time_s_max=10.0)
    peer = Solo(make_core(make_config(schedule=schedule)))
    peer.start()
    peer.now_s += 20.0
    peer.do(CommandGiven(command=Command.STOP))
    effects = reborn(peer, schedule=schedule).start()
    assert Told(Finished(reason=StopReason.TIME, rounds=0)) in effects


def test_the_best_score_is_remembered() -> None:
    peer = Solo()
    peer.start()
    peer.train(b"one")
    peer.integrate(score=0.9)
    again = reborn(peer)
    again.start()
    again.train(b"two")
    (saved,) = [e for e in again.integrate(score=0.8) if getattr(e, "model_job", None)]
    assert not saved.best


def test_a_synchronous_peer_that_comes_back_waits_for_the_rows_of_its_round() -> None:
    peer = Solo(make_core(make_config(schedule=ROUNDS)))
    peer.start()
    peer.greet(BERT)
    peer.train(b"one")
    again = reborn(peer, schedule=ROUNDS)
    assert again.start()[-1] == Set(TimerKind.DEADLINE, 30.0)


# Damage ------------------------------------------------------------------------------------


def progress_of(peer: Solo) -> bytes:
    return peer.disk[PROGRESS_KEY]


def saved_peer() -> Solo:
    peer = Solo()
    peer.start()
    peer.train(b"one")
    peer.greet(BERT)
    peer.do(FrameReceived(peer=BERT.peer, frame=b"\xc1"))
    return peer


def test_every_damaged_record_is_a_local_error() -> None:
    peer = saved_peer()
    for key, value in peer.disk.items():
        decode = decode_progress if key == PROGRESS_KEY else decode_author
        decode(value)
        for position in range(len(value)):
            for damaged in (value[:position], value[:position] + b"\xc1" + value[position + 1 :]):
                with contextlib.suppress(LocalError):  # any other error fails the test
                    decode(damaged)


def test_a_record_with_values_of_another_type_is_a_local_error() -> None:
    peer = saved_peer()
    for key, value in peer.disk.items():
        fields = canonical.unpack(value, bytes_max=100_000)
        assert isinstance(fields, list)
        decode = decode_progress if key == PROGRESS_KEY else decode_author
        for index in range(len(fields)):
            for other in ("text", [], -1, {"a": 1}):
                damaged = canonical.pack([*fields[:index], other, *fields[index + 1 :]])
                with pytest.raises(LocalError, match="damaged"):
                    decode(damaged)


@pytest.mark.parametrize("key", ["author/", "author/zz", "author/00"])
def test_a_key_that_names_no_peer_is_a_local_error(key: str) -> None:
    peer = saved_peer()
    (value,) = [value for name, value in peer.disk.items() if name.startswith("author/")]
    with pytest.raises(LocalError, match="names no peer"):
        make_core(records={key: value})


def test_the_state_of_another_identity_or_run_is_refused() -> None:
    peer = saved_peer()
    with pytest.raises(LocalError, match="belongs to peer"):
        make_core(make_config(neighbors=()), identity=CARL, records=peer.disk)
    record = decode_progress(progress_of(peer))
    other = canonical.unpack(progress_of(peer), bytes_max=100_000)
    assert isinstance(other, list)
    other[0] = bytes(32)
    ours = record.run_id.hex()[:8]
    with pytest.raises(LocalError, match=f"belongs to run 00000000, this is {ours}"):
        make_core(records={PROGRESS_KEY: canonical.pack(other)})


def test_records_of_others_are_left_alone() -> None:
    assert make_core(records={"node/something": b"not ours"}).status().sequence == 0
