"""When an author of a ledger signs a snapshot: so that what everybody keeps begins with one."""

from dataclasses import replace

import pytest

from p2pfed.core.config import UpdateFamily
from p2pfed.core.own import OwnUpdates
from p2pfed.core.records import Progress, ProgressRecord
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


def restarted(before: int) -> OwnUpdates:
    """Return the updates of an author that signed so many in its life before."""
    own = OwnUpdates(CONFIG, ANNA, lambda: 1, None)
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
    return OwnUpdates(CONFIG, ANNA, lambda: 1, record)


def test_every_49th_entry_is_a_snapshot() -> None:
    own = OwnUpdates(CONFIG, ANNA, lambda: 1, None)
    assert snapshots(own, count=150) == [49, 98, 147]


def test_a_snapshot_is_never_pushed() -> None:
    # Whoever has the log makes it of that.
    own = OwnUpdates(CONFIG, ANNA, lambda: 1, None)
    snapshots(own, count=49)
    assert own.newest is not None
    assert own.newest.inline is None


@pytest.mark.parametrize("before", [2, 10, 48, 50])
def test_the_first_entry_after_a_restart_is_a_snapshot(before: int) -> None:
    # Of the entries before it a restart keeps the newest alone, and some may have reached nobody.
    own = restarted(before)
    assert own.is_cut_off
    assert snapshots(own, count=60) == [before + 1, before + 50]
    assert not own.is_cut_off


@pytest.mark.parametrize(("before", "wanted"), [(1, 50), (49, 98)])
def test_a_log_that_is_served_from_its_beginning_needs_none(before: int, wanted: int) -> None:
    own = restarted(before)
    assert not own.is_cut_off
    assert snapshots(own, count=60) == [wanted]


def test_nobody_can_ask_for_more_snapshots() -> None:
    own = restarted(10)
    snapshots(own, count=5)
    own.ask_full(1, 9)
    assert snapshots(own, count=20) == []
