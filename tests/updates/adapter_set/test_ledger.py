"""One adapter set: what it adds up, compacts, refuses and hands on."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.errors import CodecError, LimitExceeded, LocalError, RemoteError
from p2pfed.updates.adapter_set import author_log
from p2pfed.updates.adapter_set.compaction import check_compaction, make_compaction
from p2pfed.updates.adapter_set.increment import Increment, make_increment
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.operation import Operation, decode, encode
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import Receipt, Snapshot
from p2pfed.updates.stacking import LowRankChange
from tests.updates.adapter_set.adapters import (
    START,
    TERMS,
    change,
    increment,
    nothing,
    product,
    told,
    weight_bytes,
    write,
    writer,
)

A, B = writer(1), writer(2)
ONES = [increment(seed) for seed in range(3)]
# Of integers: any machine finds it.
GOLDEN_DIGEST = "26cb5fd21bbac8f54beff072f559a627659d41225979f3f748d9d0e1b24a7986"


# The model -------------------------------------------------------------------------------------


def test_the_model_is_the_start_and_the_sum() -> None:
    ledger = told(write(A, 2) + write(B, 3, seed=1))
    wanted = START.double() + product(list(ledger.increments()))
    torch.testing.assert_close(ledger.materialize(START).double(), wanted, atol=1e-6, rtol=1e-6)
    assert len(list(ledger.increments())) == 5


def test_golden_digest() -> None:
    terms = Terms(run_id=bytes(32), shapes=((2, 1),), open_max=2)
    ledger = AdapterSet(terms)
    for sequence, value in enumerate((1.0, 0.5), start=1):
        factors = LowRankChange(torch.tensor([[value], [-value]]), torch.ones(1, 1))
        made = make_increment([factors], terms, epoch=sequence)
        ledger.apply(A, sequence, ledger.next_operation(A, made))
    assert ledger.digest().hex() == GOLDEN_DIGEST


def test_ranks_may_differ() -> None:
    ledger = told(write(A, 2, rank=1) + write(B, 2, rank=4))
    ranks = [each.layers[0].left.shape[1] for each in ledger.increments() if each.layers[0]]
    assert ranks == [1, 1, 4, 4]


def test_an_author_who_is_taken_out_leaves_nothing_but_the_others() -> None:
    ledger = told(write(A, 5) + write(B, 3, seed=1))
    ledger = ledger.without({B.author})
    assert weight_bytes(ledger) == weight_bytes(told(write(A, 5)))


def test_the_model_can_replace_the_start() -> None:
    ledger, start = told(write(A, 2)), START.clone()
    assert ledger.materialize(start, out=start) is start
    assert torch.equal(start, ledger.materialize(START))
    with pytest.raises(LocalError, match=r"expected \(58,\)"):
        ledger.materialize(torch.zeros(57))


def test_an_operation_of_nothing_adds_nothing() -> None:
    ledger = AdapterSet(TERMS)
    for sequence in range(1, 9):  # more than may count
        made = ledger.next_operation(A, nothing(sequence))
        assert ledger.apply(A, sequence, made) is Receipt.APPLIED
    assert not list(ledger.increments())
    assert torch.equal(ledger.materialize(START), START)


# Compactions -----------------------------------------------------------------------------------


def test_a_full_log_goes_on_by_a_compaction_alone() -> None:
    ledger = told(write(A, 3))
    with pytest.raises(LocalError, match="at most 3 before a compaction"):
        ledger.next_operation(A, increment(9))
    members = ledger.log(A).increments
    made = ledger.next_operation(A, increment(9), make_compaction(members, TERMS, epoch=4))
    before = ledger.materialize(START)
    ledger.apply(A, 4, made)
    assert len(ledger.log(A).increments) == 2
    moved = (ledger.materialize(START) - before).double() - product([made.increment])
    assert float(moved.norm() / product(members).norm()) < TERMS.tolerance


def test_a_compaction_takes_the_smallest_rank_that_will_do() -> None:
    flat = [make_increment([change(0, 1, 3, scale), None], TERMS, epoch=0) for scale in (0.1, 0.2)]
    (factors, empty) = make_compaction(flat, TERMS, epoch=1).layers
    assert factors is not None
    assert factors.left.shape[1] == 1
    assert empty is None


def test_a_rank_that_loses_too_much_is_not_published() -> None:
    with pytest.raises(LocalError, match="take a larger rank_max, or 16 bits"):
        make_compaction(ONES, replace(TERMS, rank_max=2), epoch=9)


def halved(made: Increment, layer: int) -> LowRankChange:
    found = made.change(layer)
    assert found is not None
    return LowRankChange(found.left / 2, found.right)


def lies() -> dict[str, Increment]:
    true = make_compaction(ONES, TERMS, epoch=9)
    changes = {
        "nothing": [None, None],
        "another change": [change(0, 2, 77), change(1, 2, 78)],
        "one layer": [true.change(0), None],
        "half": [halved(true, layer) for layer in range(2)],
    }
    return {name: make_increment(it, TERMS, epoch=9) for name, it in changes.items()}


@pytest.mark.parametrize("name", lies())
def test_a_compaction_that_is_something_else_is_refused_by_all(name: str) -> None:
    lie = lies()[name]
    with pytest.raises(CodecError, match="compaction that is off by"):
        check_compaction(lie, ONES, TERMS)
    ledger = told(write(A, 3))
    before = ledger.digest()
    with pytest.raises(CodecError):
        ledger.apply(A, 4, Operation(increment=nothing(), compaction=lie, digest=bytes(32)))
    assert ledger.digest() == before


def test_an_error_of_rank_one_is_found_under_whatever_name() -> None:
    # One probe is blind to it one time in six, and who lies may try other bytes.
    terms, truth = replace(TERMS, rank_max=16), change(0, 2, 1)
    members = [make_increment([truth, None], terms, epoch=0)]
    error = change(0, 1, 2)
    share = 0.5 * float((truth.left @ truth.right).norm() / (error.left @ error.right).norm())
    lie = LowRankChange(
        torch.cat([truth.left, share * error.left], dim=1),
        torch.cat([truth.right, error.right], dim=0),
    )
    for epoch in range(60):
        with pytest.raises(CodecError, match="off by"):
            check_compaction(make_increment([lie, None], terms, epoch=epoch), members, terms)


def test_probes_are_those_of_what_is_replaced_too() -> None:
    # Else members could be written to hide in a compaction whose probes are known.
    found = set()
    for members in (ONES, ONES[::-1]):  # of one sum
        with pytest.raises(CodecError) as caught:
            check_compaction(lies()["another change"], members, TERMS)
        found.add(str(caught.value))
    assert len(found) == 2


# Logs ------------------------------------------------------------------------------------------


def test_an_operation_that_names_another_log_is_refused() -> None:
    (who, sequence, made), ledger = write(A, 1)[0], AdapterSet(TERMS)
    with pytest.raises(CodecError, match="operation 1 does not lead"):
        ledger.apply(who, sequence, replace(made, digest=bytes(32)))
    assert ledger.version_vector() == {}


def test_the_budget_ends_the_log() -> None:
    large = [increment(seed, weight=4.0) for seed in range(3)]
    terms = replace(TERMS, entry_max=4.0, budget=large[0].reach() + large[1].reach())
    ledger = AdapterSet(terms)
    for sequence, each in enumerate(large[:2], start=1):
        ledger.apply(A, sequence, ledger.next_operation(A, each))
    with pytest.raises(LocalError, match="could add up to"):
        ledger.next_operation(A, large[2])
    free = AdapterSet(TERMS)
    for sequence, each in enumerate(large, start=1):
        free.apply(A, sequence, free.next_operation(A, each))
    lie = Operation(increment=large[2], compaction=None, digest=free.log(A).digest())
    with pytest.raises(LimitExceeded):
        ledger.apply(A, 3, lie)
    with pytest.raises(LimitExceeded):
        ledger.decode_snapshot(Snapshot.of(free.log(A)).to_bytes())


def test_new_incarnations_bring_no_new_budget() -> None:
    one = increment(1, weight=4.0)
    ledger = AdapterSet(replace(TERMS, entry_max=one.reach(), budget=1.5 * one.reach()))
    for incarnation in (5, 2):
        life = writer(1, incarnation)
        ledger.apply(life, 1, ledger.next_operation(life, one))
    # Both count, by three quarters.
    assert [each.weight for each in ledger.increments()] == pytest.approx([3.0, 3.0])
    wanted = START.double() + 1.5 * product([one])
    torch.testing.assert_close(ledger.materialize(START).double(), wanted, atol=1e-6, rtol=0)


def test_increments_of_many_lives_are_no_more_than_those_of_two() -> None:
    logs = [write(writer(1, life), TERMS.open_max, seed=life) for life in range(4)]
    two, four = (told(entry for log in each for entry in log) for each in (logs[:2], logs))
    assert len(list(two.increments())) == 2 * TERMS.open_max
    found = [each.id for each in four.increments()]
    firsts = [log[place][2].increment.id for place in range(2) for log in logs]
    assert found == firsts[: 2 * TERMS.open_max]


def test_a_snapshot_that_its_author_did_not_sign_is_refused() -> None:
    entries = write(A, 5)
    data = told(entries).log(A).snapshot()
    digest = entries[-1][2].digest
    changes = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    for other in (b"", data + b"\0", data[:-1], b"\xff" * len(data), *changes):
        with pytest.raises(RemoteError):
            AdapterSet(TERMS).adopt(A, 5, other, digest)


@pytest.mark.parametrize(
    ("members", "words"),
    [([nothing()], "increment of nothing"), ([increment(it) for it in range(4)], "at most 3")],
)
def test_snapshots_that_no_log_leads_to_are_refused(members: list[Increment], words: str) -> None:
    with pytest.raises(RemoteError, match=words):
        author_log.unpack(author_log.pack(members), TERMS)


def test_a_saved_set_comes_back() -> None:
    ledger, restored = told(write(A, 6) + write(B, 2, seed=1)), AdapterSet(TERMS)
    restored.load_state(ledger.state())
    assert restored.digest() == ledger.digest()
    assert weight_bytes(restored) == weight_bytes(ledger)


# Bytes -----------------------------------------------------------------------------------------


def test_an_operation_is_its_bytes() -> None:
    for _, _, made in write(A, 5):
        data = encode(made)
        assert len(data) <= AdapterSet(TERMS).operation_bytes_max
        read = decode(memoryview(data), TERMS)
        assert encode(read) == data
        assert (read.compaction is None) is (made.compaction is None)


def test_an_operation_has_the_bytes_of_the_formula() -> None:
    for rank in (1, 2, 4):
        terms = Terms(run_id=bytes(32), shapes=((6, 5), (4, 7)))
        made = AdapterSet(terms).next_operation(A, increment(1, rank=rank, terms=terms))
        factors = rank * (6 + 5) + rank * (4 + 7)
        # Digest, no compaction, epoch, weight; of each layer its rank and scale; factors.
        assert len(encode(made)) == 32 + 1 + 1 + 4 + 2 * (1 + 4) + factors


@settings(max_examples=50)
@given(st.binary(max_size=120), st.integers(0, 60), st.booleans())
def test_no_bytes_do_harm(noise: bytes, at: int, is_grafted: bool) -> None:
    entries = write(A, 4)
    good = encode(entries[3][2])
    data = good[:at] + noise + good[at + len(noise) :] if is_grafted else noise
    ledger = told(entries[:3])
    try:
        ledger.apply(A, 4, decode(data, TERMS))
    except RemoteError:
        assert ledger.version_vector() == {A: 3}
    else:
        assert data == good


@settings(max_examples=50)
@given(st.binary(max_size=80))
def test_no_snapshot_does_harm(data: bytes) -> None:
    with pytest.raises(RemoteError):
        AdapterSet(TERMS).decode_snapshot(data)
