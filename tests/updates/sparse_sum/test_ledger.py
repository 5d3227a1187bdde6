"""One sparse sum: what it adds up, refuses, takes back and hands on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.errors import CodecError, ConfigError, LimitExceeded, LocalError, RemoteError
from p2pfed.updates.codecs import Sparse
from p2pfed.updates.log import Receipt
from p2pfed.updates.sparse_sum import snapshot
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.operation import bytes_max, decode, encode
from p2pfed.updates.sparse_sum.terms import AUTHORS_MAX, BUDGET_UNITS_MAX, Terms
from tests.updates.sparse_sum.sums import START, TERMS, told, weight_bytes, write, writer

A, B = writer(1), writer(2)
# Of integers: any machine finds it.
GOLDEN_DIGEST = "0f26bc591e39fb8ff8396433d1883c9bbbdeb97b0de13fb1ae60a6499562d8f1"


def flat(value: float) -> bytes:
    """Encode one value at the first place."""
    vector = torch.zeros(TERMS.size)
    vector[0] = value
    return TERMS.codec.encode(vector)


def test_the_model_is_the_start_less_the_mean_of_what_was_decoded() -> None:
    entries = write(A, 3) + write(B, 2, seed=1)
    added = sum(TERMS.codec.decode(made.data, TERMS.size).double() for _, _, made in entries)
    expected = START.double() - added / 4
    assert torch.equal(told(entries).materialize(START), expected.float())


def test_a_round_without_loss_is_federated_averaging() -> None:
    # Chunks of one value keep everything, and these values are float16.
    codec = Sparse(chunk=1, kept=1, exponent=0)
    terms = Terms(size=64, peer_count=4, codec=codec)
    ledger, moved = SparseSum(terms), torch.zeros(64)
    for number in range(4):
        vector = torch.arange(64.0) / 64 - number
        made = ledger.next_operation(writer(number), codec.encode(vector))
        ledger.apply(writer(number), 1, made)
        moved += vector / 4
    assert torch.equal(ledger.materialize(torch.zeros(64)), -moved)


def test_an_author_who_is_taken_out_leaves_nothing_but_the_others() -> None:
    # A divisor that counts authors would move what the others have added.
    ledger = told(write(A, 3) + write(B, 3, seed=1))
    ledger = ledger.without({B.author})
    assert weight_bytes(ledger) == weight_bytes(told(write(A, 3)))


def test_operations_apply_once_and_in_sequence() -> None:
    ledger, entries = SparseSum(TERMS), write(A, 3)
    assert ledger.apply(*entries[1]) is Receipt.GAP
    assert [ledger.apply(*entry) for entry in entries] == ["applied"] * 3
    assert ledger.apply(*entries[0]) is Receipt.DUPLICATE
    assert ledger.version_vector() == {A: 3}


def test_golden_digest() -> None:
    steps = ((A, 0.5), (A, -3.0), (B, 0.125))
    ledger = SparseSum(TERMS)
    for who, value in steps:
        made = ledger.next_operation(who, flat(value))
        ledger.apply(who, ledger.sequence(who) + 1, made)
    assert ledger.sums()[0] == int(-2.375 * 2**36)
    assert ledger.digest().hex() == GOLDEN_DIGEST


def test_an_operation_that_names_other_sums_is_refused() -> None:
    (who, sequence, made), ledger = write(A, 1)[0], SparseSum(TERMS)
    with pytest.raises(CodecError, match="operation 1 does not lead"):
        ledger.apply(who, sequence, replace(made, digest=bytes(32)))
    assert ledger.digest() == SparseSum(TERMS).digest()


def test_the_budget_is_exact_and_ends_the_log() -> None:
    ledger = SparseSum(TERMS)
    for sequence in (1, 2):
        ledger.apply(A, sequence, ledger.next_operation(A, flat(4.0)))
    with pytest.raises(LocalError, match=r"sum of 8\.00781, at most 8"):
        ledger.next_operation(A, flat(2.0**-7))
    liar = SparseSum(replace(TERMS, budget=9.0))
    for sequence in (1, 2):
        liar.apply(A, sequence, liar.next_operation(A, flat(4.0)))
    lie = liar.next_operation(A, flat(2.0**-7))
    with pytest.raises(LimitExceeded):
        ledger.apply(A, 3, lie)
    assert ledger.apply(A, 3, ledger.next_operation(A, flat(-8.0))) is Receipt.APPLIED


def test_an_update_longer_than_the_terms_allow_is_refused_by_all() -> None:
    data = encode(SparseSum(TERMS).next_operation(A, flat(4.0)))
    exact, short = replace(TERMS, norm_max=4.0), replace(TERMS, norm_max=3.99)
    assert SparseSum(exact).apply(A, 1, decode(data, exact)) is Receipt.APPLIED
    with pytest.raises(LimitExceeded, match=r"length 4, at most 3\.99"):
        decode(data, short)
    with pytest.raises(LocalError, match="smaller steps, or with larger limits"):
        SparseSum(short).next_operation(A, flat(4.0))


def test_new_incarnations_bring_no_new_budget() -> None:
    ledger, found = SparseSum(TERMS), []
    for incarnation, value in ((5, 6.0), (2, 7.0), (9, -9.0 + 2.0)):
        life = writer(1, incarnation)
        ledger.apply(life, 1, ledger.next_operation(life, flat(value)))
        found.append(ledger.sums()[0] * TERMS.unit)
    assert found == [6.0, TERMS.budget, 6.0]  # 6, 13 and 13 - 7


def test_sums_of_callers_are_not_those_of_the_ledger() -> None:
    ledger = told(write(A, 2))
    before = ledger.digest(), weight_bytes(ledger)
    ledger.sums()[:] = 9
    assert (ledger.digest(), weight_bytes(ledger)) == before


def test_a_snapshot_that_its_author_did_not_sign_is_refused() -> None:
    entries = write(A, 4)
    data = told(entries).log(A).snapshot()
    digest = entries[-1][2].digest
    changes = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    for other in (b"", data + b"\0", data[:-1], b"\xff" * len(data), *changes):
        with pytest.raises(CodecError):
            SparseSum(TERMS).adopt(A, 4, other, digest)


def test_a_signed_snapshot_beyond_the_budget_is_refused() -> None:
    liar, ledger = SparseSum(replace(TERMS, budget=9.0)), SparseSum(TERMS)
    made = liar.next_operation(A, flat(8.0 + 2.0**-7))
    liar.apply(A, 1, made)
    with pytest.raises(CodecError, match="a snapshot with a sum of"):
        ledger.adopt(A, 1, liar.log(A).snapshot(), made.digest)
    assert ledger.version_vector() == {}


def test_a_saved_ledger_comes_back() -> None:
    ledger, restored = told(write(A, 5) + write(B, 2, seed=1)), SparseSum(TERMS)
    restored.load_state(ledger.state())
    assert restored.digest() == ledger.digest()
    assert weight_bytes(restored) == weight_bytes(ledger)


def test_an_operation_is_its_bytes() -> None:
    (_, _, made) = write(A, 1)[0]
    data = encode(made)
    assert len(data) <= bytes_max(TERMS)
    read = decode(memoryview(data), TERMS)
    assert encode(read) == data
    values = np.zeros(TERMS.size)
    values[read.places] = read.amounts * TERMS.unit
    assert torch.equal(torch.from_numpy(values).float(), TERMS.codec.decode(made.data, TERMS.size))


@settings(max_examples=50)
@given(st.binary(max_size=120), st.integers(0, 60), st.booleans())
def test_no_bytes_do_harm(noise: bytes, at: int, is_grafted: bool) -> None:
    good = encode(write(A, 1)[0][2])
    data = good[:at] + noise + good[at + len(noise) :] if is_grafted else noise
    ledger = SparseSum(TERMS)
    try:
        ledger.apply(A, 1, decode(data, TERMS))
    except RemoteError:
        assert ledger.version_vector() == {}
    else:
        assert data == good


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**43), 2**43), max_size=70), st.integers(0, 20))
def test_a_snapshot_is_its_integers(values: list[int], zeros: int) -> None:
    array = np.array([(value >> zeros) << zeros for value in values], dtype=np.int64)
    assert snapshot.decode(snapshot.encode(array), len(array), 2**43).tolist() == array.tolist()


@settings(max_examples=100)
@given(st.binary(max_size=40), st.integers(0, 20))
def test_a_snapshot_has_one_encoding(data: bytes, size: int) -> None:
    try:
        values = snapshot.decode(data, size, 2**20)
    except CodecError:
        return
    assert snapshot.encode(values) == data


def test_zero_bits_at_the_end_of_all_values_cost_nothing() -> None:
    values = np.array([3 << 30, -1 << 31], dtype=np.int64)
    assert snapshot.encode(values) == bytes([30, 3, 0b011_110])


@pytest.mark.parametrize(
    ("constants", "field"),
    [
        ({"size": 0}, "method.size"),
        ({"peer_count": 0}, "method.peer_count"),
        ({"peer_count": 2**20}, "method.peer_count"),
        ({"outer_rate": 0.0}, "method.outer_rate"),
        ({"norm_max": 0.0}, "method.norm_max"),
        ({"budget": 1e9}, "method.budget"),
        ({"budget": 2.0**-40}, "method.budget"),
        ({"codec": Sparse(exponent=-40)}, "method.budget"),
    ],
)
def test_terms_out_of_range_are_named(constants: dict, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Terms(**{"size": 10, "peer_count": 2, **constants})
    assert caught.value.field == field


def test_the_largest_sums_of_the_most_authors_fit() -> None:
    assert BUDGET_UNITS_MAX * AUTHORS_MAX < 2**63
    assert Terms(size=1, peer_count=1, budget=128.0).budget_units == BUDGET_UNITS_MAX


def test_only_the_runs_vectors_are_starts() -> None:
    for start in (torch.zeros(301), torch.zeros(300, dtype=torch.float64)):
        with pytest.raises(LocalError, match=r"expected \(300,\)"):
            SparseSum(TERMS).materialize(start)


def test_what_is_no_encoding_is_not_published() -> None:
    with pytest.raises(LocalError, match="encode with the codec of the terms"):
        SparseSum(TERMS).next_operation(A, b"1")


def test_the_model_can_replace_the_start() -> None:
    ledger, start = told(write(A, 2)), START.clone()
    assert ledger.materialize(start, out=start) is start
    assert torch.equal(start, ledger.materialize(START))
    assert not torch.equal(start, START)
