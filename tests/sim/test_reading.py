"""What a world remembers of frames changes nothing but the time that reading takes."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
from msgspec.structs import replace

import topologies
from p2pfed.core.config import ScheduleConfig
from p2pfed.errors import RemoteError, SchemaError, SignatureError
from p2pfed.messages import Deliver, PeerRecords
from p2pfed.wire import frames, headers
from p2pfed.wire.reading import PLAIN
from sim.benches import StubBench
from sim.member import make_core
from sim.overlay import overlay
from sim.reading import Recent, SharedReader
from sim.stubs import stub_config
from sim.world import World
from tests.core.peers import BERT, CARL, RUN_ID, flip, make_update


def count_calls(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> list[tuple[object, ...]]:
    calls: list[tuple[object, ...]] = []
    real: Callable[..., object] = getattr(module, name)

    def count(*arguments: object) -> object:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(module, name, count)
    return calls


def test_a_shared_reader_changes_no_trace() -> None:
    net = topologies.create("complete", nodes=4)
    config = stub_config(schedule=ScheduleConfig(rounds_max=5))
    members = overlay(net.graph, config, StubBench, seed=0)
    plain = [dataclasses.replace(member, make_core=make_core) for member in members]
    worlds = [World(net.graph, members), World(net.graph, plain)]
    for world in worlds:
        assert world.run(until_s=200.0, stop=world.all_done)
    assert worlds[0].trace.digest == worlds[1].trace.digest


@pytest.mark.interpreted
def test_a_frame_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, frames, "decode")
    update = make_update(BERT, 1)
    frame = frames.encode(Deliver(update=update, payload=b"row"))
    reader = SharedReader()
    first = reader.decode(frame)
    assert reader.decode(bytes(bytearray(frame))) is first
    assert first == PLAIN.decode(frame)
    assert len(calls) == 2  # by the shared reader and by the plain one


@pytest.mark.interpreted
def test_a_signature_is_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, headers, "verify")
    reader = SharedReader()
    reader.verify(make_update(BERT, 1))
    reader.verify(make_update(BERT, 1))
    assert len(calls) == 1


def test_a_wrong_signature_is_refused_each_time_whatever_is_remembered() -> None:
    reader = SharedReader()
    signed = make_update(BERT, 1)
    reader.verify(signed)
    for _ in range(2):
        with pytest.raises(SignatureError):
            reader.verify(flip(signed))
        with pytest.raises(SignatureError):
            reader.verify(replace(signed, header=replace(signed.header, author=CARL.peer)))


def test_a_wrong_record_is_refused_each_time_whatever_is_remembered() -> None:
    reader = SharedReader()
    record = headers.sign_record(run_id=RUN_ID, version=1, addresses=(), identity=BERT)
    reader.verify_record(record)
    for _ in range(2):
        with pytest.raises(SignatureError):
            reader.verify_record(replace(record, version=2))


def test_a_broken_frame_is_refused_each_time() -> None:
    reader = SharedReader()
    for _ in range(2):
        with pytest.raises(RemoteError):
            reader.decode(b"\x91\xff")


def test_a_copied_core_reads_with_the_same_reader() -> None:
    reader = SharedReader()
    assert copy.deepcopy(reader) is reader


def test_memory_stays_below_twice_the_size() -> None:
    recent: Recent[int, int] = Recent(10)
    for number in range(100):
        recent.put(number, number)
        assert len(recent) <= 20
    assert [recent.get(number) for number in (0, 90, 99)] == [None, 90, 99]


def test_a_peer_record_exists_once_however_many_frames_carry_it() -> None:
    record = headers.sign_record(run_id=RUN_ID, version=1, addresses=(), identity=BERT)
    other = headers.sign_record(run_id=RUN_ID, version=1, addresses=(), identity=CARL)
    reader = SharedReader()
    first, second = (
        reader.decode(frames.encode(PeerRecords(records=records)))
        for records in ((record,), (other, record))
    )
    assert isinstance(first, PeerRecords)
    assert isinstance(second, PeerRecords)
    assert second.records[1] is first.records[0]
    assert second.records == (other, record)


def test_a_payload_that_the_world_holds_is_not_copied_and_not_hashed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header, held = make_update(BERT, 1).header, bytes(bytearray(b"row"))
    reader = SharedReader()
    reader.pool.take(header.payload_hash, held)
    calls = count_calls(monkeypatch, frames, "check_payload")
    message = reader.decode(frames.encode(Deliver(update=make_update(BERT, 1), payload=b"row")))
    assert isinstance(message, Deliver)
    assert message.payload is held
    reader.check_payload(header, message.payload)
    assert calls == []


def test_another_payload_of_a_known_hash_is_checked() -> None:
    header = make_update(BERT, 1).header
    reader = SharedReader()
    reader.pool.take(header.payload_hash, b"row")
    with pytest.raises(SchemaError):
        reader.check_payload(header, b"raw")
    with pytest.raises(SchemaError):
        reader.check_payload(replace(header, payload_bytes=4), b"row")
