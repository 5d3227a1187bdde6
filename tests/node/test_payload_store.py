"""Payloads: in memory first, on disk beyond the bound, never beyond the total."""

import pytest

from p2pfed.errors import LocalError
from p2pfed.node.payload_store import PayloadStore


def make_store(folder, *, memory=100, total=1_000):
    return PayloadStore(folder, memory_bytes_max=memory, total_bytes_max=total)


def test_small_payload_stays_in_memory(tmp_path):
    store = make_store(tmp_path)
    store.put(b"a" * 32, b"x" * 50)
    assert store.get(b"a" * 32) == b"x" * 50
    assert list(tmp_path.iterdir()) == []


def test_payload_beyond_memory_goes_to_disk(tmp_path):
    store = make_store(tmp_path)
    store.put(b"a" * 32, b"x" * 80)
    store.put(b"b" * 32, b"y" * 80)
    assert store.get(b"b" * 32) == b"y" * 80
    assert [path.name for path in tmp_path.iterdir()] == [(b"b" * 32).hex()]


def test_full_store_refuses(tmp_path):
    store = make_store(tmp_path, total=100)
    store.put(b"a" * 32, b"x" * 60)
    with pytest.raises(LocalError, match=r"120 bytes, at most 100"):
        store.put(b"b" * 32, b"y" * 60)


def test_same_payload_counts_once(tmp_path):
    store = make_store(tmp_path, total=100)
    store.put(b"a" * 32, b"x" * 60)
    store.put(b"a" * 32, b"x" * 60)
    assert store.get(b"a" * 32) == b"x" * 60


def test_dropped_payload_is_gone_from_memory_and_disk(tmp_path):
    store = make_store(tmp_path)
    store.put(b"a" * 32, b"x" * 50, durable=True)
    store.drop(b"a" * 32)
    store.drop(b"a" * 32)
    with pytest.raises(LocalError, match="not in the store"):
        store.get(b"a" * 32)
    assert list(tmp_path.iterdir()) == []


def test_durable_payload_survives_and_others_are_removed(tmp_path):
    store = make_store(tmp_path)
    store.put(b"a" * 32, b"x" * 50, durable=True)
    store.put(b"b" * 32, b"y" * 50, durable=True)
    later = make_store(tmp_path)
    later.remove_others({b"a" * 32})
    assert later.load_saved(b"a" * 32)
    assert not later.load_saved(b"b" * 32)
    assert later.get(b"a" * 32) == b"x" * 50
