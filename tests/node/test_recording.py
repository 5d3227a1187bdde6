"""Records of what entered a core: replaying them gives the same effects, or says where not."""

import copy
import random
import stat
from contextlib import closing, suppress

import pytest

import topologies
from p2pfed.core.config import IntegrationMoment, ScheduleConfig, UpdateFamily
from p2pfed.core.plain import write_bytes
from p2pfed.errors import ConfigError, LocalError
from p2pfed.node.record_lines import LINE_BYTES_MAX
from p2pfed.node.recording import RecordFile
from p2pfed.node.replaying import replay_record
from sim.benches import INLINE_PAYLOAD_BYTES, LARGE_PAYLOAD_BYTES
from sim.stubs import stub_world
from tests.core.peers import ANNA, BERT, make_config
from tests.core.solo import Solo
from tests.node import records

LIAR = 2
RESTARTED = 1


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "anna.record"
    records.record_solo(path)
    return path


def number_of(lines, event):
    """Return the place of the first line with an event."""
    return next(
        number for number, it in enumerate(lines) if it["line"] == "event" and event in it["event"]
    )


@pytest.mark.parametrize("moment", [IntegrationMoment.WINDOW, IntegrationMoment.ARRIVALS])
@pytest.mark.parametrize("family", UpdateFamily)
def test_peers_of_a_hostile_world_with_churn_replay_alike(tmp_path, family, moment):
    schedule = ScheduleConfig(rounds_max=5, integrate=moment, window_s=2.0, linger_s=5.0)
    liar = {UpdateFamily.WHOLE: "equivocation", UpdateFamily.DIFFERENCE: "garbage"}
    world = stub_world(
        topologies.create("complete", nodes=4).graph,
        schedule,
        adversaries={LIAR: liar.get(family, "wrong-bytes")},
        payload_bytes={"whole": LARGE_PAYLOAD_BYTES}.get(family, INLINE_PAYLOAD_BYTES),
        family=family,
        start_spread_s=3.0,
    )
    with records.recorded(world, tmp_path) as paths:
        world.run(until_s=4.0)
        world.crash(RESTARTED)
        world.run(until_s=6.0)
        world.restart(RESTARTED)
        assert world.run(until_s=200.0, stop=lambda: world.all_done([0, 1, 3]))
    for index, path in paths.items():
        replayed = replay_record(path)
        assert replayed.is_same
        assert replayed.lives == (2 if index == RESTARTED else 1)
        assert replayed.effects > replayed.events > 10


def test_a_life_that_ended_in_order_has_no_note(record):
    replayed = replay_record(record)
    assert (replayed.is_same, replayed.lives, replayed.notes) == (True, 1, ())


def test_a_restart_appends_a_life_that_begins_with_what_was_saved(tmp_path):
    path = tmp_path / "anna.record"
    saved = records.record_solo(path)
    records.record_solo(path, entropy=b"second life", records=saved)
    replayed = replay_record(path)
    assert (replayed.is_same, replayed.lives, replayed.notes) == (True, 2, ())


def test_the_private_key_is_not_in_the_record(record):
    data = record.read_text()
    assert ANNA.seed.hex() not in data
    assert records.read(record)[0]["entropy"]  # what is there is there in base64
    assert write_bytes(ANNA.seed) not in data


def test_only_its_owner_may_read_a_record(record):
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_every_flipped_byte_is_found(record, tmp_path):
    data = record.read_bytes()
    generator = random.Random(0)
    changed = tmp_path / "changed.record"
    for _ in range(60):
        flipped = bytearray(data)
        flipped[generator.randrange(len(data) - 1)] ^= 1 << generator.randrange(8)
        changed.write_bytes(flipped)
        with pytest.raises(ConfigError, match=r"line \d+ is damaged"):
            replay_record(changed)


@pytest.mark.parametrize("places", [slice(3, 5), slice(-3, -1)], ids=["early", "late"])
def test_lines_that_are_gone_are_found(record, places):
    lines = record.read_text().splitlines(keepends=True)
    del lines[places]
    record.write_text("".join(lines))
    with pytest.raises(ConfigError, match="its sum is wrong"):
        replay_record(record)


def test_another_event_is_found_by_its_effects(record):
    lines = records.read(record)
    changed = number_of(lines, "TrainingFinished")
    lines[changed]["event"][1]["loss"] = 0.25
    records.write(record, lines)
    found = replay_record(record).difference
    # The loss is told with the round, which ends with the integration.
    assert found is not None
    assert found.line > changed + 1
    assert (found.recorded[0], found.now[0]) == ("Notify", "Notify")
    assert found.recorded[1]["notice"][1]["loss"] == 0.5
    assert found.now[1]["notice"][1]["loss"] == 0.25


def test_other_random_numbers_are_found(record):
    lines = records.read(record)
    lines[0]["entropy"] = write_bytes(b"another life")
    records.write(record, lines)
    found = replay_record(record).difference
    assert found is not None  # the Hello names the incarnation
    assert found.recorded != found.now
    assert (found.recorded[0], found.now[0]) == ("SendFrame", "SendFrame")


def test_another_configuration_is_found(record):
    lines = records.read(record)
    lines[0]["config"]["membership"]["heartbeat_s"] = 3.0
    records.write(record, lines)
    found = replay_record(record).difference
    assert found is not None
    assert found.now[1]["delay_s"] == 3.0


def test_another_effect_is_found_and_both_are_told(record):
    lines = records.read(record)
    start = number_of(lines, "CommandGiven")
    effects = lines[start + 1]["effects"]
    place = next(i for i, (name, _) in enumerate(effects) if name == "SetTimer")
    before = copy.deepcopy(effects[place])
    effects[place][1]["delay_s"] = 77.0
    records.write(record, lines)
    found = replay_record(record).difference
    assert found is not None
    assert (found.line, found.life, found.number, found.effect) == (start + 1, 1, 1, place + 1)
    assert found.event == lines[start]["event"]
    assert (found.recorded, found.now) == (effects[place], before)


def test_an_effect_too_few_is_found(record):
    lines = records.read(record)
    start = number_of(lines, "CommandGiven")
    lost = lines[start + 1]["effects"].pop()
    records.write(record, lines)
    found = replay_record(record).difference
    assert (found.recorded, found.now) == (None, lost)


def test_a_whole_number_in_place_of_a_fraction_is_found(record):
    lines = records.read(record)
    start = number_of(lines, "CommandGiven")
    timer = next(it for name, it in lines[start + 1]["effects"] if name == "SetTimer")
    timer["delay_s"] = int(timer["delay_s"])
    records.write(record, lines)
    assert not replay_record(record).is_same


def test_another_signature_is_found(record):
    lines = records.read(record)
    signing = next(it for it in lines if "signatures" in it)
    signing["signatures"] = [write_bytes(bytes(64))] * len(signing["signatures"])
    records.write(record, lines)
    found = replay_record(record).difference
    assert "signs something else" in found.reason


def test_a_line_that_was_not_finished_is_told_and_harms_nothing(record):
    data = record.read_bytes()
    record.write_bytes(data[:-30])
    replayed = replay_record(record)
    assert replayed.is_same
    assert "is cut off: the process ended while writing it" in replayed.notes[0]


def test_a_life_goes_after_a_line_that_was_not_finished(tmp_path):
    path = tmp_path / "anna.record"
    saved = records.record_solo(path)
    path.write_bytes(path.read_bytes()[:-30])
    records.record_solo(path, entropy=b"second life", records=saved)
    replayed = replay_record(path)
    assert (replayed.is_same, replayed.lives) == (True, 2)
    assert any("life 1 ends within" in note for note in replayed.notes)


def test_an_event_that_broke_the_core_is_the_last_of_the_record(tmp_path, monkeypatch):
    path = tmp_path / "anna.record"

    def break_down(*_):
        raise AssertionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr("p2pfed.core.membership.Membership.handle_disconnected", break_down)
        file = RecordFile(path, ANNA.peer)
        core = records.RecordedCore(file.write, make_config(), ANNA, b"life", {})
        peer = Solo(core)
        peer.start()
        with pytest.raises(AssertionError):
            peer.disconnect(BERT)
        file.close()
        broken = replay_record(path)
        assert "has no effects: the core raises AssertionError: a bug" in broken.notes[0]
    mended = replay_record(path)
    assert mended.is_same
    assert "has no effects: the process ended there" in mended.notes[0]


def test_a_replay_that_breaks_down_is_a_difference(record, monkeypatch):
    def break_down(*_):
        raise AssertionError("a new bug")

    monkeypatch.setattr("p2pfed.core.transfers.Transfers.handle_validated", break_down)
    found = replay_record(record).difference
    assert found is not None
    assert found.reason == "the core raises AssertionError: a new bug"


def test_another_peers_record_is_left_alone(record):
    data = record.read_bytes()
    with pytest.raises(ConfigError, match="is the record of 12D3KooW"):
        RecordFile(record, BERT.peer)
    assert record.read_bytes() == data


@pytest.mark.parametrize("text", ["no record\n", "no record", "{}\n", "[]\n", "[" * 100_000 + "\n"])
def test_another_file_is_left_alone(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no record"):
        RecordFile(path, ANNA.peer)
    assert path.read_text() == text


def test_two_processes_do_not_write_one_record(record):
    with (
        closing(RecordFile(record, ANNA.peer)),
        pytest.raises(ConfigError, match="another process writes it"),
    ):
        RecordFile(record, ANNA.peer)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(LocalError, match="cannot write"):
        RecordFile(tmp_path, ANNA.peer)


def test_a_full_disk_ends_the_record_and_nothing_else(tmp_path, caplog):
    file = RecordFile(tmp_path / "anna.record", ANNA.peer)
    file._stream.close()
    with open("/dev/full", "wb", buffering=0) as full:
        file._stream = full
        file.write({"line": "begin"})
        file.write({"line": "end"})
    (warning,) = caplog.records
    assert warning.message.endswith("the record ends here")


def test_lines_in_the_wrong_place(record):
    lines = records.read(record)
    for wrong in ([lines[1]], [lines[2]], [{"line": "end"}], [lines[0], lines[2]], [{"line": "?"}]):
        records.write(record, wrong)
        with pytest.raises(ConfigError, match="stands in the wrong place"):
            replay_record(record)


def test_an_empty_file_is_no_record(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(ConfigError, match="empty"):
        replay_record(tmp_path / "empty")


def test_a_record_of_a_later_version(record):
    lines = records.read(record)
    lines[0]["format"] = 2
    records.write(record, lines)
    with pytest.raises(ConfigError, match="line 1 is damaged: its format is 2"):
        replay_record(record)


def test_a_line_without_end_is_not_read_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr("p2pfed.node.record_lines.LINE_BYTES_MAX", 1_000)
    assert LINE_BYTES_MAX > 1_000
    (tmp_path / "long").write_bytes(b"{" * 2_000)
    with pytest.raises(ConfigError, match="line 1 is damaged: it has more than 1000 bytes"):
        replay_record(tmp_path / "long")


ODD = [None, True, -1, 0, 2**70, 1e300, "", "AAAA", [], {}, ["Left", {}]]


def test_any_values_are_replayed_or_refused(record):
    # What a liar writes has right sums: only `ConfigError` may come of it, or a difference.
    lines = records.read(record)
    generator = random.Random(1)
    for _ in range(60):
        changed = copy.deepcopy(lines)
        place = changed[generator.randrange(len(changed))]
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = generator.choice(keys)
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or generator.random() < 0.2:
                break
            place = inner
        place[key] = generator.choice(ODD)
        records.write(record, changed)
        with suppress(ConfigError):
            replay_record(record)
