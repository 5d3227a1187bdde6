"""One ledger: what it takes in, refuses, takes back and hands on."""

import math

import numpy as np
import pytest
import torch

from p2pfed.errors import CodecError, LimitExceeded, LocalError
from p2pfed.limits import LIVES_PER_AUTHOR_MAX
from p2pfed.updates.log import Receipt
from p2pfed.updates.seed_ledger import author_log
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms
from tests.updates.seed_ledger.ledgers import TERMS, sparse, told, write, writer

GOLDEN_DIGEST = "62c9378eabea7419b7838d79278a6ef7f1ba0445c2cc94f472c899fc9cb2806f"
A, B = writer(1), writer(2)


def digest_of(entries: list) -> bytes:
    digest: bytes = entries[-1][2].digest
    return digest


def test_operations_apply_once_and_in_sequence() -> None:
    ledger, entries = SeedLedger(TERMS), write(A, 3)
    assert ledger.apply(*entries[1]) is Receipt.GAP
    assert ledger.sequence(A) == 0
    assert ledger.apply(*entries[0]) is Receipt.APPLIED
    assert ledger.apply(*entries[0]) is Receipt.DUPLICATE
    assert ledger.apply(*entries[2]) is Receipt.GAP
    assert ledger.apply(*entries[1]) is Receipt.APPLIED
    assert ledger.version_vector() == {A: 2}


def test_sums_are_those_of_all_authors_by_epoch() -> None:
    ledger = SeedLedger(TERMS)
    for who, epoch, values in ((A, 3, {1: 5}), (B, 3, {1: 2, 63: -4}), (B, 0, {2: 1})):
        made = ledger.next_operation(who, epoch, 1, sparse(values))
        assert ledger.apply(who, ledger.sequence(who) + 1, made) is Receipt.APPLIED
    found = ledger.coefficients()
    assert list(found) == [0, 3]
    assert found[0].tolist() == sparse({2: 1}).tolist()
    assert found[3].tolist() == sparse({1: 7, 63: -4}).tolist()
    assert ledger.version_vector() == {A: 1, B: 2}


def test_golden_digest() -> None:
    ledger = told(write(A, 3) + write(B, 2))
    assert ledger.digest().hex() == GOLDEN_DIGEST


def test_an_operation_that_names_other_sums_is_refused() -> None:
    ledger, ((who, sequence, made), *_) = SeedLedger(TERMS), write(A, 1)
    wrong = Operation(
        epoch=made.epoch, step_count=5, coefficients=made.coefficients + 1, digest=made.digest
    )
    with pytest.raises(CodecError, match="operation 1 does not lead"):
        ledger.apply(who, sequence, wrong)
    assert ledger.digest() == SeedLedger(TERMS).digest()


def unchecked(coefficients: dict[int, int], sums: dict[int, int], epoch: int = 0) -> Operation:
    """Make an operation as a liar does, who lets no ledger check it."""
    free = Terms(run_id=bytes(32), size=150, direction_count=64)
    digest = SeedLedger(free).next_operation(A, epoch, 1, sparse(sums)).digest
    return Operation(epoch=epoch, step_count=1, coefficients=sparse(coefficients), digest=digest)


def test_the_budget_of_an_epoch_is_exact_and_ends_the_log() -> None:
    ledger = SeedLedger(TERMS)
    steps = [{1: 1_000}] * 3 + [{2: 1_000}] * 4  # 3,000 and 4,000: a length of 5,000
    for sequence, values in enumerate(steps, start=1):
        made = ledger.next_operation(A, 0, 1, sparse(values))
        assert ledger.apply(A, sequence, made) is Receipt.APPLIED
    with pytest.raises(LocalError, match="longer than 5000: go to another epoch"):
        ledger.next_operation(A, 0, 1, sparse({3: 1}))
    with pytest.raises(LimitExceeded, match="longer than 5000"):
        ledger.apply(A, 8, unchecked({3: 1}, {1: 3_000, 2: 4_000, 3: 1}))
    assert ledger.sequence(A) == 7
    other_epoch = ledger.next_operation(A, 1, 1, sparse({3: 1}))
    assert ledger.apply(A, 8, other_epoch) is Receipt.APPLIED


def test_squares_of_the_largest_budget_do_not_overflow() -> None:
    terms = Terms(run_id=bytes(32), size=150, direction_count=64, budget=2**28 - 1)
    most = np.full(64, 2**28 - 1)
    assert not author_log.is_within_budget(most, terms)
    assert author_log.is_within_budget(sparse({5: -(2**28) + 1}), terms)
    assert not author_log.is_within_budget(sparse({5: 2**40}), terms)


def test_new_incarnations_bring_no_new_budget() -> None:
    ledger = SeedLedger(TERMS)
    lives = [writer(1, incarnation) for incarnation in (5, 2, 9)]
    for life, values in zip(lives, ({1: 1_000}, {1: 1_000}, {3: -750}), strict=True):
        for sequence in range(1, 5):
            made = ledger.next_operation(life, 0, 1, sparse(values))
            ledger.apply(life, sequence, made)
    # 8,000 and -3,000, of length 8,544.004: times 5,000 / 8,545, towards zero
    assert ledger.coefficients()[0].tolist() == sparse({1: 4_681, 3: -1_755}).tolist()


@pytest.mark.parametrize("later", [6, 8])
def test_a_later_life_takes_no_earlier_ones_place(later: int) -> None:
    # Whatever its number, which says nothing of what came first.
    ledger, life = SeedLedger(TERMS), writer(1, later)
    for sequence in range(1, 5):
        ledger.apply(A, sequence, ledger.next_operation(A, 0, 1, sparse({1: 1_000})))
    ledger.apply(life, 1, ledger.next_operation(life, 0, 1, sparse({2: 1_000})))
    assert ledger.coefficients()[0].tolist() == sparse({1: 4_000, 2: 1_000}).tolist()
    for sequence in range(2, 5):
        ledger.apply(life, sequence, ledger.next_operation(life, 0, 1, sparse({2: 1_000})))
    assert ledger.coefficients()[0].tolist() == sparse({1: 3_535, 2: 3_535}).tolist()


def test_a_step_fits_what_all_lives_have_left() -> None:
    ledger, life = SeedLedger(TERMS), writer(1, 8)
    for sequence in range(1, 5):
        ledger.apply(A, sequence, ledger.next_operation(A, 0, 1, sparse({1: 1_000})))
    log, others = ledger.log(life), ledger.other_lives(life)
    assert log.fit(0, sparse({1: 1_000}), others)[1] == 1_000
    assert log.fit(0, sparse({1: 4_000}), others)[1] == 1_000
    assert log.fit(0, sparse({1: 4_000}))[1] == 4_000
    assert log.fit(1, sparse({1: 4_000}), others)[1] == 4_000
    for sequence in range(1, 5):
        ledger.apply(life, sequence, ledger.next_operation(life, 0, 1, sparse({1: 1_000})))
    log = ledger.log(life)
    assert log.fit(0, sparse({1: 4}), others)[1] == 0
    assert log.fit(0, sparse({1: -4}), others)[1] == -4


def test_the_longest_sums_of_all_lives_do_not_overflow() -> None:
    terms = Terms(run_id=bytes(32), size=150, direction_count=64, budget=2**28 - 1)
    each = np.full(64, terms.budget // 8, dtype=np.int64)
    assert author_log.is_within_budget(each, terms)
    clipped = author_log.clip(each * LIVES_PER_AUTHOR_MAX, terms)
    assert author_log.is_within_budget(clipped, terms)
    assert clipped.tolist() == pytest.approx(each.tolist(), rel=1e-6)


def test_arrays_of_callers_are_not_those_of_the_ledger() -> None:
    ledger, mine = SeedLedger(TERMS), sparse({1: 5})
    made = ledger.next_operation(A, 0, 1, mine)
    mine[:] = 9
    ledger.apply(A, 1, made)
    made.coefficients[:] = 9
    ledger.coefficients()[0][:] = 9
    assert ledger.coefficients()[0].tolist() == sparse({1: 5}).tolist()


def test_a_newcomer_catches_up_by_a_snapshot() -> None:
    entries = write(A, 9)
    ledger, newcomer = told(entries), SeedLedger(TERMS)
    snapshot = ledger.log(A).snapshot()
    assert len(snapshot) <= 1 + 2 * (1 + 2 * 64)
    assert newcomer.adopt(A, 9, snapshot, digest_of(entries)) is Receipt.APPLIED
    assert newcomer.digest() == ledger.digest()
    assert newcomer.adopt(A, 9, snapshot, digest_of(entries)) is Receipt.DUPLICATE
    assert newcomer.apply(*write(A, 10)[9]) is Receipt.APPLIED


def test_a_snapshot_that_its_author_did_not_sign_is_refused() -> None:
    entries = write(A, 4)
    snapshot = told(entries).log(A).snapshot()
    for at in range(len(snapshot)):
        changed = bytearray(snapshot)
        changed[at] ^= 1
        with pytest.raises((CodecError, LimitExceeded)):
            SeedLedger(TERMS).adopt(A, 4, bytes(changed), digest_of(entries))
    epoch_64 = b"\1" + b"\x40" + b"\2" * 64
    for other in (b"", snapshot + b"\0", snapshot[:-1], b"\xff\xff\xff\xff\x01", epoch_64):
        with pytest.raises((CodecError, LimitExceeded)):
            SeedLedger(TERMS).adopt(A, 4, other, digest_of(entries))


def test_a_signed_snapshot_beyond_the_budget_is_refused() -> None:
    free = Terms(run_id=bytes(32), size=150, direction_count=64)
    liar = SeedLedger(free)
    made = liar.next_operation(A, 0, 1, sparse({1: 5_001}))
    liar.apply(A, 1, made)
    snapshot = liar.log(A).snapshot()
    with pytest.raises(LimitExceeded):
        SeedLedger(TERMS).adopt(A, 1, snapshot, made.digest)


def test_sums_of_zero_leave_no_trace() -> None:
    ledger = SeedLedger(TERMS)
    for sequence, value in enumerate((7, -7), start=1):
        made = ledger.next_operation(A, 5, 1, sparse({3: value}))
        ledger.apply(A, sequence, made)
    assert ledger.coefficients() == {}
    assert ledger.log(A).snapshot() == b"\0"
    newcomer = SeedLedger(TERMS)
    newcomer.adopt(A, 2, b"\0", made.digest)
    assert newcomer.digest() == ledger.digest()


@pytest.mark.parametrize(
    ("epoch", "steps", "coefficients"),
    [
        (-1, 1, sparse({})),
        (64, 1, sparse({})),
        (0, 0, sparse({})),
        (0, 1, np.zeros(63, dtype=np.int64)),
        (0, 1, sparse({1: 1_001})),
    ],
)
def test_operations_out_of_range_are_not_made(epoch, steps, coefficients) -> None:
    with pytest.raises(LocalError):
        SeedLedger(TERMS).next_operation(A, epoch, steps, coefficients)


def test_ledgers_of_other_terms_do_not_mix() -> None:
    other = SeedLedger(Terms(run_id=bytes(31), size=150, direction_count=64))
    with pytest.raises(LocalError, match="different terms"):
        SeedLedger(TERMS).distance(other)


def test_only_the_runs_vectors_are_starts() -> None:
    for start in (torch.zeros(151), torch.zeros(150, dtype=torch.float64)):
        with pytest.raises(LocalError, match=r"expected \(150,\)"):
            SeedLedger(TERMS).materialize(start)


def test_distance_within_an_epoch_is_the_true_one() -> None:
    terms = Terms(run_id=bytes(32), size=640, direction_count=64, fraction_bits=12)
    first, second = SeedLedger(terms), SeedLedger(terms)
    for ledger, who, values in ((first, A, {1: 500, 9: -77}), (second, B, {1: 490, 40: 3_000})):
        ledger.apply(who, 1, ledger.next_operation(who, 4, 1, sparse(values)))
    start = torch.zeros(640)
    true = float((first.materialize(start) - second.materialize(start)).double().norm())
    by_hand = 2.0**-12 * math.sqrt(640 * (10**2 + 77**2 + 3_000**2))
    assert first.distance(second) == pytest.approx(by_hand, rel=1e-12)
    assert first.distance(second) == pytest.approx(true, rel=1e-6)
    assert first.distance(first) == 0.0


def test_distance_over_epochs_is_an_upper_bound() -> None:
    first, second = told(write(A, 9, epochs=4)), told(write(B, 9, seed=1, epochs=4))
    start = torch.zeros(150)
    true = float((first.materialize(start) - second.materialize(start)).double().norm())
    assert true < first.distance(second) < 4 * true


def test_a_liar_moves_the_model_no_further_than_its_budget() -> None:
    terms = Terms(run_id=bytes(32), size=640, direction_count=64, budget=2**20)
    ledger = SeedLedger(terms)
    ledger.apply(A, 1, ledger.next_operation(A, 0, 1, sparse({5: 2**20})))
    moved = float(ledger.materialize(torch.zeros(640)).double().norm())
    assert moved == pytest.approx(2.0**-24 * math.sqrt(640) * 2**20)


def test_a_saved_ledger_comes_back() -> None:
    ledger, restored = told(write(A, 9) + write(B, 2)), SeedLedger(TERMS)
    restored.load_state(ledger.state())
    assert restored.digest() == ledger.digest()
    assert restored.apply(*write(A, 10)[9]) is Receipt.APPLIED


def test_a_save_of_something_else_is_named() -> None:
    state = told(write(A, 2)).state()
    name = next(name for name in state if name.endswith("/sums"))
    no_sums = {key: value for key, value in state.items() if key != name}
    for broken in (
        {**state, name: state[name][:-1]},
        {**state, name: state[name].float()},
        no_sums,
        {"log/x/place": torch.ones(1)},
    ):
        ledger = told(write(B, 1))
        with pytest.raises(LocalError, match="holds no logs of these terms"):
            ledger.load_state(broken)
        assert ledger.version_vector() == {B: 1}
