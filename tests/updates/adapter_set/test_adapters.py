"""The set: what counts in it, and that sets that were told the same are the same."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.adapter_set.adapters import AdapterSet
from p2pfed.updates.adapter_set.compaction import make_compaction
from p2pfed.updates.adapter_set.increment import Increment, make_increment
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import Receipt
from p2pfed.updates.stacking import LowRankChange
from tests.updates.adapter_set.adapters import START, TERMS, change, increment, told, weight_bytes
from tests.updates.adapter_set.adapters import moved as moved_by

ONES = [increment(seed) for seed in range(6)]
# Of full rank, so that nothing but quantization is lost.
FIRST = make_compaction(ONES[:2], TERMS, rank=5, epoch=9)
SECOND = make_compaction(ONES[1:4], TERMS, rank=5, epoch=9)
DEEP = make_compaction([FIRST, ONES[4]], TERMS, rank=5, epoch=10)
ALL = [*ONES, FIRST, SECOND, DEEP]

seeds = st.integers(0, 2**32)


def deliver(seed: int) -> AdapterSet:
    """Deliver part of everything in any order, and fetch what a compaction lacks."""
    rng, adapters = random.Random(seed), AdapterSet(TERMS)
    sent = [each for each in ALL for _ in range(2) if rng.random() < 0.5]
    rng.shuffle(sent)
    for each in sent:
        fetch(adapters, each)
    if rng.random() < 0.5:
        adapters.withdraw([rng.choice(ALL).id])
    return adapters


def fetch(adapters: AdapterSet, wanted: Increment) -> None:
    if adapters.add(wanted) is Receipt.GAP:
        for id in adapters.missing(wanted):
            fetch(adapters, next(each for each in ALL if each.id == id))
        assert adapters.add(wanted) is Receipt.APPLIED


def test_the_model_is_the_base_and_the_sum() -> None:
    adapters = told(*ONES[:3])
    for layer, found in enumerate(adapters.materialize(START)):
        products = [each.change(layer) for each in ONES[:3]]
        wanted = START[layer].double() + sum(it.product() for it in products if it is not None)
        torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=1e-6)


def test_ranks_may_differ() -> None:
    adapters = told(*(increment(rank, rank=rank) for rank in (1, 3, 8)))
    assert len(adapters.counting()) == 3
    assert float(moved_by(adapters).norm()) > 0


def test_an_increment_counts_once() -> None:
    adapters = told(ONES[0])
    before = weight_bytes(adapters)
    assert adapters.add(ONES[0]) is Receipt.DUPLICATE
    assert weight_bytes(adapters) == before


@settings(max_examples=10)
@given(seeds, seeds)
def test_lost_repeated_and_reordered_increments_end_in_the_same_bits(a: int, b: int) -> None:
    first, second = deliver(a), deliver(b)
    for left, right in ((first, second), (second, first)):
        for id in right.ids():
            found = right.get(id)
            assert found is not None
            fetch(left, found)
        left.withdraw(right.withdrawn())
    assert first.digest() == second.digest()
    assert weight_bytes(first) == weight_bytes(second)


@settings(max_examples=10)
@given(seeds, seeds, seeds)
def test_join_is_commutative_associative_and_idempotent(a: int, b: int, c: int) -> None:
    def joined(*parts: int) -> AdapterSet:
        result = AdapterSet(TERMS)
        for part in parts:
            result.join(deliver(part))
        return result

    whole = joined(a)
    whole.join(joined(b, c))
    assert whole.digest() == joined(a, b, c).digest() == joined(c, b, a, b).digest()
    assert whole.counting() == joined(c, b, a).counting()
    assert joined(a).digest() == deliver(a).digest()


def test_a_compaction_stands_for_its_members() -> None:
    plain, compacted = told(*ONES[:3]), told(*ONES[:3], FIRST)
    assert compacted.counting() == tuple(sorted([FIRST.id, ONES[2].id]))
    error = (moved_by(compacted) - moved_by(plain)).norm() / moved_by(plain).norm()
    assert float(error) < TERMS.tolerance


def test_compactions_of_compactions_count() -> None:
    left = (ONES[2].id, ONES[3].id, DEEP.id)
    assert told(*ONES[:5], FIRST, DEEP).counting() == tuple(sorted(left))


def test_of_two_that_overlap_the_lower_id_counts() -> None:
    adapters = told(*ONES[:4], FIRST, SECOND)
    assert (FIRST.id in adapters.counting()) is (FIRST.id < SECOND.id)
    assert (SECOND.id in adapters.counting()) is (SECOND.id < FIRST.id)


def test_a_compaction_waits_for_its_members() -> None:
    adapters = told(ONES[0])
    assert adapters.add(FIRST) is Receipt.GAP
    assert adapters.missing(FIRST) == (ONES[1].id,)
    assert adapters.ids() == (ONES[0].id,)


def test_what_is_withdrawn_is_out_of_compactions_too() -> None:
    adapters = told(*ONES[:2], FIRST)
    adapters.withdraw([ONES[1].id])
    assert adapters.counting() == (ONES[0].id,)
    assert weight_bytes(adapters) == weight_bytes(told(ONES[0]))
    early = AdapterSet(TERMS)
    early.withdraw([ONES[1].id])
    early.join(told(*ONES[:2], FIRST))
    assert early.digest() == adapters.digest()


def halved(made: Increment, layer: int) -> LowRankChange:
    found = made.change(layer)
    assert found is not None
    return LowRankChange(found.left / 2, found.right)


def test_a_compaction_that_is_something_else_is_refused_by_all() -> None:
    members = [each.id for each in ONES[:2]]
    lies = {
        "nothing": [None, None],
        "another change": [change(0, 2, 77), change(1, 2, 78)],
        "one layer": [FIRST.change(0), None],
        "half": [halved(FIRST, layer) for layer in range(2)],
    }
    for name, changes in lies.items():
        lie = make_increment(changes, TERMS, epoch=9, members=members)
        adapters = told(*ONES[:2])
        with pytest.raises(CodecError, match="compaction that is off by"):
            adapters.add(lie)
        assert lie.id not in adapters.ids(), name


def test_a_rank_that_loses_too_much_is_not_published() -> None:
    with pytest.raises(LocalError, match="take a larger rank, or 16 bits"):
        make_compaction(ONES, TERMS, rank=1, epoch=9)


def test_a_compaction_of_nothing_may_hold_nothing() -> None:
    nothing = [make_increment([None, None], TERMS, epoch=epoch) for epoch in range(2)]
    adapters = told(*nothing, make_compaction(nothing, TERMS, rank=2, epoch=2))
    assert len(adapters.counting()) == 1


def test_saving_and_loading_changes_nothing() -> None:
    adapters, restored = told(*ALL), AdapterSet(TERMS)
    adapters.withdraw([ONES[5].id])
    restored.load_state(adapters.state())
    assert restored.digest() == adapters.digest()
    assert weight_bytes(restored) == weight_bytes(adapters)


def test_a_save_of_something_else_is_named() -> None:
    state = told(*ONES[:2], FIRST).state()
    name = f"increment/{ONES[0].id.hex()}"
    without = {key: value for key, value in state.items() if key != name}
    for broken in ({name: torch.zeros(3)}, without, {"withdrawn/x": torch.ones(1)}):
        with pytest.raises(LocalError, match="the saved state holds"):
            AdapterSet(TERMS).load_state(broken)


def test_sets_and_bases_of_others_are_refused() -> None:
    other = AdapterSet(Terms(run_id=bytes(31), shapes=TERMS.shapes))
    with pytest.raises(LocalError, match="different terms"):
        AdapterSet(TERMS).join(other)
    for start in (START[:1], [it.double() for it in START]):
        with pytest.raises(LocalError, match="start of shapes"):
            AdapterSet(TERMS).materialize(start)
