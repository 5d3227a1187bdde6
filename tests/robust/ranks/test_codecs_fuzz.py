"""Bytes from anyone: a valid ballot or a RankError, in bounded memory."""

import random
import tracemalloc
from collections import Counter

import pytest
import torch
from torch import Tensor

import robust
from robust.ranks import magnitudes, rank_of_update
from robust.ranks.codec import RankCodec
from robust.ranks.codecs import Factorial, Levels, PackedRanks, TopIds, TopSets
from robust.ranks.ranking import ranks_of
from tests.mutations import mutate

STRINGS = 2_600  # per codec; 20,800 in all
SIZES = [1, 2, 3, 5, 8, 16, 31, 64]
CODECS = [PackedRanks(), Levels(1), Levels(4), TopIds(0.3), TopSets(0.3), Factorial()]


def ranking(size: int, rng: random.Random) -> Tensor:
    return torch.tensor(rng.sample(range(size), size))


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_any_bytes_are_a_ballot_or_a_rank_error(codec: RankCodec) -> None:
    rng = random.Random(f"fuzz {codec}")
    valid = [(size, codec.encode(ranking(size, rng))) for size in SIZES for _ in range(10)]
    outcomes = Counter[str]()
    for _ in range(STRINGS):
        size, encoded = rng.choice(valid)
        data = mutate(encoded, rng)
        try:
            ballot = codec.decode(data, size)
        except robust.RankError:
            outcomes["refused"] += 1
            continue
        ranks = ranks_of(ballot)
        assert torch.equal(ballot, codec.ballot(ranks))
        assert codec.encode(ranks) == data
        outcomes["read"] += 1
    assert min(outcomes["refused"], outcomes["read"]) > STRINGS // 50


@pytest.mark.slow
def test_any_bytes_are_a_signed_list_or_a_rank_error() -> None:
    rng = random.Random("fuzz signed lists")
    valid = []
    for size in SIZES * 10:
        count = rng.randrange(1, size + 1)
        update = (ranking(size, rng) + 1.0) * rng.choice([-1, 1])
        ballot = rank_of_update.signed_top(update, count)
        valid.append((size, count, rank_of_update.encode(ballot)))
    outcomes = Counter[str]()
    for _ in range(STRINGS):
        size, count, encoded = rng.choice(valid)
        data = mutate(encoded, rng)
        try:
            ballot = rank_of_update.decode(data, size=size, count=count)
        except robust.RankError:
            outcomes["refused"] += 1
            continue
        assert len(set(ballot.ids.tolist())) == count
        assert all(0 <= edge < size for edge in ballot.ids.tolist())
        assert rank_of_update.encode(ballot) == data
        outcomes["read"] += 1
    assert min(outcomes["refused"], outcomes["read"]) > STRINGS // 50


@pytest.mark.slow
def test_any_bytes_are_magnitudes_or_a_rank_error() -> None:
    rng = random.Random("fuzz magnitudes")
    valid = []
    for count in SIZES * 10:
        update = torch.tensor([rng.gauss(0.0, 1.0) for _ in range(count)])
        valid.append((count, magnitudes.encode(magnitudes.magnitudes_of(update, count))))
    outcomes = Counter[str]()
    for _ in range(STRINGS):
        count, encoded = rng.choice(valid)
        data = mutate(encoded, rng)
        try:
            read = magnitudes.decode(data, count=count)
        except robust.RankError:
            outcomes["refused"] += 1
            continue
        assert len(read.levels) == count
        assert bool((read.levels[1:] >= read.levels[:-1]).all())
        assert magnitudes.encode(read) == data
        outcomes["read"] += 1
    assert min(outcomes["refused"], outcomes["read"]) > STRINGS // 100


@pytest.mark.parametrize("codec", [PackedRanks(), Levels(8), TopIds(0.3), TopSets(0.3)], ids=str)
def test_length_is_checked_before_anything_is_allocated(codec: RankCodec) -> None:
    # A ballot of 2^42 edges would take 35 TB.
    with pytest.raises(robust.RankError, match="expected"):
        codec.decode(b"short", 1 << 42)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_a_long_string_is_not_copied_to_be_refused(codec: RankCodec) -> None:
    data = bytes(10_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(robust.RankError, match="10000000 bytes"):
            codec.decode(data, 64)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
