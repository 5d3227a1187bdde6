"""When an author of a ledger signs a snapshot: so that what everybody keeps begins with one."""

import random
from dataclasses import replace

import pytest

from p2pfed.core.config import UpdateFamily
from p2pfed.core.own import OwnUpdates
from p2pfed.core.records import Progress, ProgressRecord
from p2pfed.limits import Limits
from tests.core.peers import ANNA, make_config, make_payload

CONFIG = replace(make_config(), family=UpdateFamily.LEDGER)


def snapshots(own: OwnUpdates, *, count: int) -> list[int]:
    """Return which of an author's next updates are snapshots."""
    found = []
    for sequence in range(own.sequence + 1, own.sequence + count + 1):
        place = own.place
        assert place is not None
        if place.needs_full:
            found.append(sequence)
        own.sign(make_payload(b"entry"), round_number=sequence, is_full=place.needs_full)
    return found


def test_every_49th_entry_is_a_snapshot() -> None:
    own = OwnUpdates(CONFIG, ANNA, random.Random(0), None)
    assert snapshots(own, count=150) == [49, 98, 147]


def test_a_snapshot_is_never_pushed() -> None:
    # Whoever has the log makes it of that.
    own = OwnUpdates(CONFIG, ANNA, random.Random(0), None)
    snapshots(own, count=49)
    assert own.newest is not None
    assert own.newest.inline is None


@pytest.mark.parametrize(("before", "wanted"), [(10, 27), (48, 65), (49, 98), (50, 67)])
def test_a_restart_makes_no_gap_longer_than_what_everybody_keeps(before: int, wanted: int) -> None:
    own = OwnUpdates(CONFIG, ANNA, random.Random(0), None)
    snapshots(own, count=before)
    assert own.newest is not None
    record = ProgressRecord(
        run_id=CONFIG.run_id,
        incarnation=own.incarnation,
        own=own.newest.signed,
        inline=own.newest.inline,
        job=0,
        progress=Progress(),
    )
    restarted = OwnUpdates(CONFIG, ANNA, random.Random(0), record)
    assert snapshots(restarted, count=60)[0] == wanted
    assert wanted - before <= Limits().operations_per_author_max
