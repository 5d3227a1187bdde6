"""Snapshots that stand for a log: one encoding, bounded, and never more than a budget."""

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from p2pfed.errors import CodecError, LimitExceeded, RemoteError
from p2pfed.updates.log import DIGEST_BYTES, Receipt, Snapshot
from p2pfed.updates.seed_ledger import varints
from p2pfed.updates.seed_ledger.author_log import AuthorLog
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.varints import Integers
from tests.updates.seed_ledger.ledgers import TERMS, sparse, told, write, writer

A = writer(1)
LEDGER = told(write(A, 5))


def forged(epochs: dict[int, Integers]) -> bytes:
    """Encode any sums with the digest that belongs to them."""
    digest, sums = blake3(), varints.pack(np.array([len(epochs)]))
    for epoch, values in epochs.items():
        each = varints.pack(varints.zigzag(values))
        digest.update(epoch.to_bytes(8, "little") + blake3(each).digest())
        sums += varints.pack(np.array([epoch])) + each
    return digest.digest() + sums


def test_a_snapshot_stands_for_the_log() -> None:
    data = Snapshot.of(LEDGER.log(A)).to_bytes()
    read = SeedLedger(TERMS).decode_snapshot(memoryview(data))
    newcomer = SeedLedger(TERMS)
    assert newcomer.adopt(A, 5, read.sums, read.digest) is Receipt.APPLIED
    assert newcomer.digest() == LEDGER.digest()
    assert forged(dict(LEDGER.log(A).sums)) == data


def test_the_snapshot_of_nothing_is_short() -> None:
    data = Snapshot.of(AuthorLog(terms=TERMS)).to_bytes()
    assert data == blake3().digest() + b"\0"
    assert SeedLedger(TERMS).decode_snapshot(data).sums == b"\0"


def test_the_largest_snapshot_has_the_size_that_is_said() -> None:
    most = np.full(64, -(TERMS.budget // 8), dtype=np.int64)  # of length budget
    each = len(varints.pack(varints.zigzag(most)))
    data = forged(dict.fromkeys(range(TERMS.epoch_count), most))
    SeedLedger(TERMS).decode_snapshot(data)
    assert each == 2 * 64
    assert len(data) <= SeedLedger(TERMS).snapshot_bytes_max == DIGEST_BYTES + 1 + 64 * (1 + 2 * 64)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (forged({3: sparse({})}), CodecError, "all zero"),
        (forged({3: sparse({1: 5}), 2: sparse({1: 5})}), CodecError, "epoch 2"),
        (forged({64: sparse({1: 5})}), CodecError, "epoch 64"),
        (forged({0: sparse({1: 5_001})}), LimitExceeded, "longer than"),
        (forged({0: sparse({1: 5})}) + b"\0", CodecError, "after the end"),
        (bytes(32) + forged({0: sparse({1: 5})})[32:], CodecError, "not what its author signed"),
        (bytes(10), CodecError, "numbers"),
        (bytes(SeedLedger(TERMS).snapshot_bytes_max + 1), CodecError, "at most"),
    ],
)
def test_another_snapshot_is_refused(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SeedLedger(TERMS).decode_snapshot(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_snapshot_or_a_remote_error(data: bytes) -> None:
    for each in (data, blake3(data).digest() + data):
        try:
            assert SeedLedger(TERMS).decode_snapshot(each).to_bytes() == each
        except RemoteError:
            continue


def test_coefficients_are_halved_until_the_budget_has_room() -> None:
    log = AuthorLog(terms=TERMS).then(0, sparse({1: 3_000, 2: -3_000}))
    assert log.fit(0, sparse({1: 1_000, 2: 7})).tolist() == sparse({1: 1_000, 2: 7}).tolist()
    assert (
        log.fit(0, sparse({1: 1_000, 3: -3_001})).tolist() == sparse({1: 500, 3: -1_500}).tolist()
    )
    assert log.fit(1, sparse({1: 5_001})).tolist() == sparse({1: 2_500}).tolist()
    full = AuthorLog(terms=TERMS).then(0, sparse({1: 5_000}))
    assert not full.fit(0, sparse({1: 1_000})).any()


def test_a_ledger_made_of_logs_goes_its_own_way() -> None:
    source = told(write(A, 5))
    copy = source.without(())
    assert copy.digest() == source.digest()
    source.apply(*write(A, 6)[5])
    assert copy.sequence(A) == 5
    assert source.without(()).digest() == source.digest()
