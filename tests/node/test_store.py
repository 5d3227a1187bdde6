"""The state folder: what was saved is there after a restart, whole or not at all."""

import sqlite3

import pytest

from p2pfed.core.effects import Record
from p2pfed.errors import LocalError
from p2pfed.node.store import StateStore, is_locked, write_atomically


def test_records_and_model_survive(tmp_path):
    with StateStore(tmp_path) as store:
        store.save([Record(key="a", value=b"1")], model=b"m1", model_job=1, best=True)
        store.save([Record(key="b", value=b"2")], model=b"m2", model_job=2)
    with StateStore(tmp_path) as store:
        assert store.records() == {"a": b"1", "b": b"2"}
        assert store.last_model() == b"m2"
        assert store.best_model() == b"m1"


def test_record_is_removed_by_none(tmp_path):
    with StateStore(tmp_path) as store:
        store.save([Record(key="a", value=b"1")])
        store.save([Record(key="a", value=None)])
        assert store.records() == {}


def test_models_nobody_points_to_are_removed(tmp_path):
    with StateStore(tmp_path) as store:
        for job in range(1, 6):
            store.save([], model=b"m%d" % job, model_job=job, best=job == 2)
        files = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    assert files == ["model-2.safetensors", "model-5.safetensors"]


def test_failed_transaction_changes_neither_records_nor_model(tmp_path):
    with StateStore(tmp_path) as store:
        store.save([Record(key="a", value=b"1")], model=b"m1", model_job=1)
        broken = [Record(key="a", value=b"2"), Record(key=None, value=b"x")]  # NULL is refused
        with pytest.raises(sqlite3.IntegrityError):
            store.save(broken, model=b"m2", model_job=2)
        assert store.records() == {"a": b"1"}
        assert store.last_model() == b"m1"


def test_second_process_is_refused(tmp_path):
    with StateStore(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(LocalError, match="in use by another process"):
            StateStore(tmp_path)
    assert not is_locked(tmp_path)


def test_folder_of_a_later_version_is_refused(tmp_path):
    with StateStore(tmp_path):
        pass
    database = sqlite3.connect(tmp_path / "state.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LocalError, match="format 99"):
        StateStore(tmp_path)


def test_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    (tmp_path / "file.partial").write_bytes(b"half of the n")  # what a crash leaves behind
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_damaged_database_is_named(tmp_path):
    with StateStore(tmp_path):
        pass
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database " * 1_000)
    with pytest.raises(LocalError, match=f"{path}.*not a database.*backup"):
        StateStore(tmp_path)
    assert not is_locked(tmp_path)


def test_database_that_is_damaged_inside_is_named(tmp_path):
    with StateStore(tmp_path) as store:
        store.save([Record(key=f"key {k}", value=bytes(1_000)) for k in range(100)])
    path = tmp_path / "state.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    with pytest.raises(LocalError, match=str(path)), StateStore(tmp_path) as store:
        store.records()


def test_missing_model_is_named(tmp_path):
    with StateStore(tmp_path) as store:
        store.save([], model=b"m1", model_job=1)
        (tmp_path / "model-1.safetensors").unlink()
        with pytest.raises(LocalError, match=r"model-1\.safetensors"):
            store.last_model()
