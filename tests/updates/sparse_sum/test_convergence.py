"""Sparse sums that were told the same are the same, whatever the network did on the way."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.updates.log import Writer
from p2pfed.updates.sparse_sum.ledger import SparseSum
from tests.updates.sparse_sum.sums import TERMS, Entry, told, weight_bytes, write, writer

WRITERS = [writer(1), writer(2), writer(1, incarnation=8)]
LENGTH = 5
LOGS = {who: write(who, LENGTH, seed=seed, scale=1.2) for seed, who in enumerate(WRITERS)}
ENTRIES = [entry for log in LOGS.values() for entry in log]
LIAR, FORK = WRITERS[1], 2

seeds = st.integers(0, 2**32)


def deliver(rng: random.Random, entries: list[Entry], *, share: float) -> SparseSum:
    """Deliver part of the entries in any order, some more than once."""
    sent = [
        entry for entry in entries for _ in range(rng.choice([1, 1, 2])) if rng.random() < share
    ]
    return told(sorted(sent, key=lambda entry: entry[1] + 3.0 * rng.random()))


def catch_up(ledger: SparseSum, other: SparseSum, logs: dict[Writer, list[Entry]]) -> None:
    """Give a ledger by version vectors what another one has, as operations."""
    for who, theirs in other.version_vector().items():
        for sequence in range(ledger.sequence(who) + 1, theirs + 1):
            ledger.apply(*logs[who][sequence - 1])


@settings(max_examples=8)
@given(seeds)
def test_lost_repeated_and_reordered_updates_end_in_the_same_bits(seed: int) -> None:
    rng = random.Random(seed)
    first, second = (deliver(rng, ENTRIES, share=0.8) for _ in range(2))
    catch_up(first, second, LOGS)
    catch_up(second, first, LOGS)
    assert first.digest() == second.digest()
    assert weight_bytes(first) == weight_bytes(second)


@settings(max_examples=20)
@given(st.permutations(range(len(ENTRIES))))
def test_writers_commute(order: list[int]) -> None:
    queues = {who: iter(log) for who, log in LOGS.items()}
    ledger = told(next(queues[ENTRIES[place][0]]) for place in order)
    assert ledger.digest() == told(ENTRIES).digest()
    assert weight_bytes(ledger) == weight_bytes(told(ENTRIES))


@settings(max_examples=20)
@given(seeds)
def test_a_fork_ends_where_the_proof_freezes_it(seed: int) -> None:
    rng = random.Random(seed)
    fork = [e for e in ENTRIES if e[0] != LIAR] + LOGS[LIAR][:FORK] + fork_entries()
    peers = []
    for entries in (ENTRIES, fork):
        steps: list[Entry | None] = [*entries, *entries]
        rng.shuffle(steps)
        steps.insert(rng.randrange(len(steps) + 1), None)  # the proof arrives
        ledger = SparseSum(TERMS)
        for step in [*steps, *sorted(entries, key=lambda entry: entry[1])]:
            if step is None:
                ledger.freeze(LIAR, FORK)
            else:
                ledger.apply(*step)
        peers.append(ledger)
    assert peers[0].version_vector()[LIAR] == FORK
    assert peers[0].digest() == peers[1].digest()
    assert weight_bytes(peers[0]) == weight_bytes(peers[1])


def fork_entries() -> list[Entry]:
    """Make what the liar signed besides, from the same beginning."""
    ledger, entries = told(LOGS[LIAR][:FORK]), []
    for who, sequence, made in LOGS[LIAR][FORK:]:
        other = ledger.next_operation(who, LOGS[WRITERS[0]][sequence - 1][2].data)
        assert other.data != made.data
        ledger.apply(who, sequence, other)
        entries.append((who, sequence, other))
    return entries


def ledger_of(seed: int) -> SparseSum:
    rng = random.Random(seed)
    ledger = told(entry for log in LOGS.values() for entry in log[: rng.randint(0, LENGTH)])
    if rng.random() < 0.5:
        ledger.freeze(rng.choice(WRITERS), rng.randint(0, LENGTH))
    return ledger


def joined(*seeds_of_ledgers: int) -> SparseSum:
    result = SparseSum(TERMS)
    for seed in seeds_of_ledgers:
        result.join(ledger_of(seed))
    return result


@settings(max_examples=20)
@given(seeds, seeds, seeds)
def test_join_is_commutative_associative_and_idempotent(a: int, b: int, c: int) -> None:
    assert joined(a, b).digest() == joined(b, a).digest()
    right, whole = joined(b, c), joined(a)
    whole.join(right)
    assert whole.digest() == joined(a, b, c).digest()
    assert joined(a, b, a, b).digest() == joined(a, b).digest()
    assert joined(a).digest() == ledger_of(a).digest()
