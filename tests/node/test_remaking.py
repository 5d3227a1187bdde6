"""A node makes a snapshot of its own ledger, or says that it cannot."""

from pathlib import Path
from typing import Any

import pytest

from p2pfed.core.effects import StartValidation
from p2pfed.core.events import Event, JobFailed, OffenceKind, ValidationFinished
from p2pfed.errors import CodecError
from p2pfed.node.jobs import JobRunner
from p2pfed.node.payload_store import PayloadStore
from tests.core.peers import BERT, make_update

SUMS = b"sums"
UPDATE = make_update(BERT, 3, payload=SUMS)


class Ledger:
    """Stands in for a bench that has a log, another one, or less of it."""

    def __init__(self, payload: bytes | None) -> None:
        self.payload = payload

    def remake(self, _: object) -> bytes | None:
        if self.payload == b"others":
            raise CodecError("another log")
        return self.payload


@pytest.mark.parametrize(
    ("payload", "wanted", "is_stored"),
    [
        (SUMS, ValidationFinished(job=1, offence=None), True),
        (b"others", ValidationFinished(job=1, offence=OffenceKind.CODEC), False),
        (None, JobFailed(job=1, reason="the own ledger is not that far", cancelled=False), False),
    ],
    ids=["the log", "another log", "not as far"],
)
def test_a_snapshot_is_made_stored_or_neither(
    tmp_path: Path, payload: bytes | None, wanted: Event, is_stored: bool
) -> None:
    store = PayloadStore(tmp_path, memory_bytes_max=100, total_bytes_max=100)
    bench: Any = Ledger(payload)
    effect = StartValidation(job=1, update_id=UPDATE.update_id, header=UPDATE.header, is_here=False)
    assert JobRunner(bench, store, print)._validate(effect) == wanted
    assert bool(list(tmp_path.rglob("*")) or store._memory) == is_stored
