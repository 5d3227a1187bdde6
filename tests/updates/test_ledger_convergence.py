"""Ledgers of every kind: those that were told the same are the same, whatever the network did."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.limits import LIVES_PER_AUTHOR_MAX
from p2pfed.updates.log import Receipt
from p2pfed.updates.registry import METHODS
from tests.updates.ledger_kinds import KINDS, LENGTH, WRITERS, Kind, Ledger, writer

ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
# The last writer signed another fourth operation, too, and went on after either.
LIAR, FORK = WRITERS[2], LENGTH // 2

seeds = st.integers(0, 2**32)


def catch_up(kind: Kind, ledger: Ledger, other: Ledger) -> None:
    """Give a ledger by version vectors what another one has, as operations."""
    for who, theirs in other.version_vector().items():
        kind.told(kind.written()[who][ledger.sequence(who) : theirs], ledger)


def deliver(kind: Kind, rng: random.Random, *, share: float) -> Ledger:
    """Deliver part of the entries in any order, some more than once."""
    sent = [
        entry
        for entry in kind.entries()
        for _ in range(rng.choice([1, 1, 2]))
        if rng.random() < share
    ]
    return kind.told(sorted(sent, key=lambda entry: entry[1] + 3.0 * rng.random()))


def are_equal(kind: Kind, *ledgers: Ledger) -> bool:
    digests = {ledger.digest() for ledger in ledgers}
    return len(digests) == len({kind.weight_bytes(ledger) for ledger in ledgers}) == 1


def test_every_ledger_is_tried() -> None:
    assert set(KINDS) == {name for name, method in METHODS.items() if method.is_ledger}


@ALL_KINDS
def test_logs_differ_and_move_the_model(kind: Kind) -> None:
    whole = kind.told(kind.entries())
    parts = [kind.told(kind.written()[who]) for who in WRITERS]
    assert len({it.digest() for it in (kind.empty(), whole, *parts)}) == 5
    assert len({kind.weight_bytes(it) for it in (kind.empty(), whole, *parts)}) == 5


@ALL_KINDS
@settings(max_examples=8)
@given(seed=seeds)
def test_lost_repeated_and_reordered_operations_end_in_the_same_bits(kind: Kind, seed: int) -> None:
    rng = random.Random(seed)
    first, second = (deliver(kind, rng, share=0.8) for _ in range(2))
    catch_up(kind, first, second)
    catch_up(kind, second, first)
    assert are_equal(kind, first, second)


@ALL_KINDS
@settings(max_examples=8)
@given(order=st.permutations(range(LENGTH * len(WRITERS))))
def test_writers_commute(kind: Kind, order: list[int]) -> None:
    # Any interleaving that keeps each log in sequence.
    entries = kind.entries()
    queues = {who: iter(log) for who, log in kind.written().items()}
    ledger = kind.told(next(queues[entries[place][0]]) for place in order)
    assert are_equal(kind, ledger, kind.told(entries))


@ALL_KINDS
@settings(max_examples=8)
@given(seed=seeds)
def test_whichever_fork_was_heard_nothing_of_the_liar_counts_in_the_end(
    kind: Kind, seed: int
) -> None:
    rng = random.Random(seed)
    honest = [entry for entry in kind.entries() if entry[0].author != LIAR.author]
    common, one = kind.written()[LIAR][:FORK], kind.written()[LIAR][FORK:]
    other = kind.write(LIAR, kind.told(common), seed=7_000)
    assert all(mine[2] != theirs[2] for mine, theirs in zip(one, other, strict=True))
    peers = []
    for fork in (one, other):
        entries = [*common, *fork, *honest]
        entries = sorted(entries, key=lambda entry: entry[1] + 3.0 * rng.random())
        before_proof = kind.told(entries[: rng.randrange(len(entries))])
        peers.append(kind.told(honest, before_proof.without({LIAR.author})))
    assert LIAR not in peers[0].version_vector()
    assert are_equal(kind, *peers)


@ALL_KINDS
@settings(max_examples=6)
@given(seed=seeds)
def test_snapshots_and_operations_lead_to_the_same_ledger(kind: Kind, seed: int) -> None:
    rng, source = random.Random(seed), kind.told(kind.entries())
    newcomer = deliver(kind, rng, share=0.5)
    for who in WRITERS:
        sequence = rng.randint(1, LENGTH)
        log = kind.told(kind.written()[who][:sequence]).log(who)
        operation = source.decode(kind.written()[who][sequence - 1][2])
        newcomer.adopt(who, sequence, log.snapshot(), operation.digest)
    catch_up(kind, newcomer, source)
    assert are_equal(kind, newcomer, source)


@ALL_KINDS
@settings(max_examples=6)
@given(seed=seeds)
def test_a_restart_at_any_time_changes_nothing(kind: Kind, seed: int) -> None:
    rng = random.Random(seed)
    before, restored = deliver(kind, rng, share=rng.random()), kind.empty()
    state = before.state()
    assert len(state) == 2 * len(before.logs)  # how far each log goes, and what it adds up to
    restored.load_state(state)
    assert are_equal(kind, before, restored)
    for ledger in (before, restored):
        kind.told(kind.entries(), ledger)
    assert are_equal(kind, before, restored)


@ALL_KINDS
def test_a_copy_without_authors_is_a_ledger_of_its_own(kind: Kind) -> None:
    source = kind.told(kind.entries())
    before = source.digest()
    other = source.without({WRITERS[0].author})
    assert set(other.logs) == {WRITERS[1]}
    assert are_equal(kind, other, kind.told(kind.written()[WRITERS[1]]))
    kind.told(kind.entries(), other)
    assert are_equal(kind, other, source)
    assert source.digest() == before


@ALL_KINDS
def test_the_lives_with_the_lowest_numbers_count_whatever_came_first(kind: Kind) -> None:
    empty = kind.empty()
    lives = [writer(1, incarnation) for incarnation in range(LIVES_PER_AUTHOR_MAX + 2)]
    entries = [(who, 1, empty.encode(kind.make(empty, who, who.incarnation))) for who in lives]
    first, whole = kind.told(entries), kind.told(reversed(entries))
    few = kind.told(entries[:LIVES_PER_AUTHOR_MAX])
    assert kind.weight_bytes(whole) == kind.weight_bytes(few)
    whole.keep_lives()
    first.keep_lives()
    assert are_equal(kind, first, whole, few)
    whole.keep_lives({lives[0].author: 3})
    assert set(whole.logs) == set(lives[:4])


@ALL_KINDS
def test_operations_apply_once_and_in_sequence(kind: Kind) -> None:
    ledger, log = kind.empty(), kind.written()[WRITERS[0]]
    first, second = (ledger.decode(data) for _, _, data in log[:2])
    assert ledger.apply(WRITERS[0], 2, second) is Receipt.GAP
    assert ledger.apply(WRITERS[0], 1, first) is Receipt.APPLIED
    assert ledger.apply(WRITERS[0], 1, first) is Receipt.DUPLICATE
    assert ledger.version_vector() == {WRITERS[0]: 1}


@ALL_KINDS
def test_entries_have_one_encoding_within_the_bounds(kind: Kind) -> None:
    ledger = kind.told(kind.entries())
    for who, sequence, data in kind.entries():
        assert ledger.encode(ledger.decode(data)) == data
        assert len(data) <= ledger.operation_bytes_max
        snapshot = kind.told(kind.written()[who][:sequence]).log(who).snapshot()
        whole = ledger.decode(data).digest + snapshot
        assert ledger.decode_snapshot(whole).to_bytes() == whole
        assert len(whole) <= ledger.snapshot_bytes_max


@pytest.mark.nightly
@ALL_KINDS
@given(seed=seeds)
def test_many_networks_end_in_the_same_bits(kind: Kind, seed: int) -> None:
    rng = random.Random(seed)
    first, second = (deliver(kind, rng, share=rng.random()) for _ in range(2))
    catch_up(kind, first, second)
    catch_up(kind, second, first)
    assert are_equal(kind, first, second)


@ALL_KINDS
def test_a_newcomer_catches_up_by_a_snapshot(kind: Kind) -> None:
    entries = kind.written()[WRITERS[0]]
    ledger, newcomer = kind.told(entries), kind.empty()
    operations = [ledger.decode(data) for _, _, data in entries]
    who, sequence, before = WRITERS[0], LENGTH - 1, operations[-2].digest
    snapshot = kind.told(entries[:-1]).log(who).snapshot()
    assert newcomer.adopt(who, sequence, snapshot, before) is Receipt.APPLIED
    assert newcomer.adopt(who, sequence, snapshot, before) is Receipt.DUPLICATE
    assert newcomer.apply(who, LENGTH, operations[-1]) is Receipt.APPLIED
    assert are_equal(kind, newcomer, ledger)
