"""A simulated disk gives back what was saved, and holds no payload twice."""

import sys

import pytest

from p2pfed.core.effects import Record, Save
from sim.disk import Disk

PAYLOAD = bytes(range(200))


def saved(value: bytes | None) -> Save:
    return Save(records=(Record(key="progress", value=value),), model_job=None, best_model=False)


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        (b"before" + PAYLOAD + b"after", PAYLOAD),
        (PAYLOAD, PAYLOAD),
        (b"before" + PAYLOAD[:-1] + b"after", PAYLOAD),  # it only begins like the payload
        (b"nothing of it", PAYLOAD),
        (b"", PAYLOAD),
        (b"before" + PAYLOAD, b""),
        (b"before" + PAYLOAD, None),
    ],
)
def test_a_record_is_read_as_it_was_written(value: bytes, payload: bytes | None) -> None:
    disk = Disk()
    disk.write(saved(value), None, payload)
    assert disk.records() == {"progress": value}
    disk.write(saved(None), None, payload)
    assert disk.records() == {}


def test_a_payload_in_a_record_is_not_copied() -> None:
    disk = Disk()
    holders = sys.getrefcount(PAYLOAD)
    disk.write(saved(b"before" + PAYLOAD + b"after"), None, PAYLOAD)
    assert sys.getrefcount(PAYLOAD) == holders + 1
