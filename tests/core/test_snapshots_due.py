"""When an author of a ledger sends a snapshot: often, but not so that most bytes are snapshots."""

import random
from dataclasses import replace

import pytest

from p2pfed.core.config import UpdateFamily
from p2pfed.core.own import OwnUpdates
from tests.core.peers import ANNA, make_config, make_payload


def snapshots(*, operation_bytes: int, snapshot_bytes: int, count: int) -> list[int]:
    """Return which updates of an author are snapshots."""
    config = replace(make_config(), family=UpdateFamily.LEDGER)
    own = OwnUpdates(config, ANNA, random.Random(0), None)
    found = []
    for sequence in range(1, count + 1):
        place = own.place
        assert place is not None
        if place.needs_full:
            found.append(sequence)
        payload = make_payload(bytes(snapshot_bytes if place.needs_full else operation_bytes))
        own.sign(payload, round_number=sequence, is_full=place.needs_full)
    return found


@pytest.mark.parametrize(
    ("snapshot_bytes", "wanted"),
    [(1_600, [17, 34, 51, 68, 85]), (3_000, [17, 48, 79]), (30_000, [17, 66])],
    ids=["short", "as 30 operations", "long"],
)
def test_operations_between_snapshots_have_their_bytes_or_are_48(
    snapshot_bytes: int, wanted: list[int]
) -> None:
    found = snapshots(operation_bytes=100, snapshot_bytes=snapshot_bytes, count=90)
    assert found == wanted
