"""Ledgers that were told the same are the same, whatever the network did on the way."""

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.updates.log import Receipt, Writer
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from tests.updates.seed_ledger.ledgers import TERMS, Entry, told, write, writer

WRITERS = [writer(1), writer(2), writer(1, incarnation=8)]
LENGTH = 6
LOGS = {who: write(who, LENGTH, seed=seed) for seed, who in enumerate(WRITERS)}
ENTRIES = [entry for log in LOGS.values() for entry in log]
START = torch.randn(TERMS.size, generator=torch.Generator().manual_seed(0))
# The last writer signed another fourth operation, too, and went on after either.
LIAR, FORK = WRITERS[2], LENGTH // 2


def make_fork() -> list[Entry]:
    ledger, entries = told(LOGS[LIAR][:FORK]), []
    for who, sequence, made in LOGS[LIAR][FORK:]:
        other = ledger.next_operation(who, made.epoch, 5, -made.coefficients)
        ledger.apply(who, sequence, other)
        entries.append((who, sequence, other))
    return entries


FORK_ENTRIES = make_fork()
seeds = st.integers(0, 2**32)


def weight_bytes(ledger: SeedLedger) -> bytes:
    return ledger.materialize(START).numpy().tobytes()


def catch_up(ledger: SeedLedger, other: SeedLedger, logs: dict[Writer, list[Entry]]) -> None:
    """Give a ledger by version vectors what another one has, as operations."""
    for who, theirs in other.version_vector().items():
        for sequence in range(ledger.sequence(who) + 1, theirs + 1):
            assert ledger.apply(*logs[who][sequence - 1]) in (Receipt.APPLIED, Receipt.FROZEN)


def deliver(rng: random.Random, entries: list[Entry], *, share: float) -> SeedLedger:
    """Deliver part of the entries in any order, some more than once."""
    ledger = SeedLedger(TERMS)
    sent = [
        entry for entry in entries for _ in range(rng.choice([1, 1, 2])) if rng.random() < share
    ]
    for entry in sorted(sent, key=lambda entry: entry[1] + 3.0 * rng.random()):
        ledger.apply(*entry)
    return ledger


@settings(max_examples=20)
@given(seeds)
def test_lost_repeated_and_reordered_operations_end_in_the_same_bits(seed: int) -> None:
    rng = random.Random(seed)
    peers = [deliver(rng, ENTRIES, share=0.8) for _ in range(3)]
    for left, right in itertools.permutations(peers, 2):
        catch_up(left, right, LOGS)
    for left, right in itertools.permutations(peers, 2):
        catch_up(left, right, LOGS)
    assert len({peer.digest() for peer in peers}) == 1
    assert len({weight_bytes(peer) for peer in peers}) == 1
    assert peers[0].distance(peers[1]) == 0.0


@settings(max_examples=20)
@given(st.permutations(range(len(ENTRIES))))
def test_writers_commute(order: list[int]) -> None:
    # Any interleaving that keeps each log in sequence.
    queues = {who: iter(log) for who, log in LOGS.items()}
    ledger = told(next(queues[ENTRIES[place][0]]) for place in order)
    assert ledger.digest() == told(ENTRIES).digest()
    assert weight_bytes(ledger) == weight_bytes(told(ENTRIES))


@settings(max_examples=20)
@given(seeds)
def test_a_fork_ends_where_the_proof_freezes_it(seed: int) -> None:
    rng = random.Random(seed)
    fork = [entry for entry in ENTRIES if entry[0] != LIAR] + LOGS[LIAR][:FORK] + FORK_ENTRIES
    peers = []
    for entries in (ENTRIES, fork):
        steps: list[Entry | None] = [*entries, *entries]
        rng.shuffle(steps)
        steps.insert(rng.randrange(len(steps) + 1), None)  # the proof arrives
        ledger = SeedLedger(TERMS)
        for step in [*steps, *sorted(entries, key=lambda entry: entry[1])]:
            if step is None:
                ledger.freeze(LIAR, FORK)
            else:
                ledger.apply(*step)
        peers.append(ledger)
    assert peers[0].version_vector()[LIAR] == FORK
    assert peers[0].digest() == peers[1].digest()
    assert weight_bytes(peers[0]) == weight_bytes(peers[1])


def ledger_of(seed: int) -> SeedLedger:
    rng = random.Random(seed)
    ledger = told(entry for log in LOGS.values() for entry in log[: rng.randint(0, LENGTH)])
    if rng.random() < 0.5:
        ledger.freeze(rng.choice(WRITERS), rng.randint(0, LENGTH))
    return ledger


def joined(*seeds_of_ledgers: int) -> SeedLedger:
    result = SeedLedger(TERMS)
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


@settings(max_examples=15)
@given(seeds)
def test_snapshots_and_operations_lead_to_the_same_ledger(seed: int) -> None:
    rng, source = random.Random(seed), told(ENTRIES)
    newcomer = deliver(rng, ENTRIES, share=0.5)
    for who in WRITERS:
        sequence = rng.randint(1, LENGTH)
        snapshot = source.snapshot(who, sequence)
        assert snapshot is not None
        newcomer.adopt(who, sequence, snapshot, LOGS[who][sequence - 1][2].digest)
    catch_up(newcomer, source, LOGS)
    assert newcomer.digest() == source.digest()
    assert weight_bytes(newcomer) == weight_bytes(source)


@pytest.mark.nightly
@given(seeds)
def test_many_networks_end_in_the_same_bits(seed: int) -> None:
    rng = random.Random(seed)
    first, second = (deliver(rng, ENTRIES, share=rng.random()) for _ in range(2))
    if rng.random() < 0.5:
        first.freeze(rng.choice(WRITERS), rng.randint(0, LENGTH))
    first.join(second)
    second.join(first)
    assert first.digest() == second.digest()
    assert weight_bytes(first) == weight_bytes(second)
