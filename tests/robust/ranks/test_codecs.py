"""Rankings as bytes: what each codec writes, how long it is, and what it refuses."""

import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust
from robust.ranks import bits, elias_fano, factorial
from robust.ranks.codec import RankCodec
from robust.ranks.codecs import CODECS, Factorial, Levels, PackedRanks, TopIds, TopSets
from robust.ranks.ranking import ranks_of

# Many properties share the suite's time; a profile with more examples scales with it.
FEW = settings(max_examples=max(1, settings().max_examples // 4))

ALL = [
    PackedRanks(),
    *(Levels(it) for it in (1, 2, 4, 8)),
    *(TopIds(it) for it in (0.01, 0.1, 0.5, 1.0)),
    *(TopSets(it) for it in (0.01, 0.1, 0.5, 1.0)),
    Factorial(),
]
# Edges per layer of the networks of the paper's table of communication costs.
LENET = [288, 18_432, 1_605_632, 1_280]
CONV8 = [1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 1_179_648, 2_359_296]
CONV8 += [524_288, 65_536, 2_560]
MEBIBYTE = 1 << 20


def draw_ranking(seed: int, size: int) -> Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def check_round_trip(codec: RankCodec, ranks: Tensor) -> None:
    size = len(ranks)
    data = codec.encode(ranks)
    assert len(data) == codec.encoded_bytes(size)
    ballot = codec.decode(data, size)
    assert ballot.dtype == torch.int64
    assert torch.equal(ballot, codec.ballot(ranks))
    # One form per ballot.
    assert codec.encode(ranks_of(ballot)) == data


@pytest.mark.slow
@FEW
@given(codec=st.sampled_from(ALL), seed=st.integers(0, 2**32), size=st.integers(1, 300))
def test_what_was_written_is_read(codec: RankCodec, seed: int, size: int) -> None:
    check_round_trip(codec, draw_ranking(seed, size))


@pytest.mark.parametrize("codec", ALL, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257])
def test_what_was_written_is_read_around_powers_of_two(codec: RankCodec, size: int) -> None:
    check_round_trip(codec, draw_ranking(size, size))


@pytest.mark.parametrize("codec", [PackedRanks(), TopIds(1.0), TopSets(1.0), Factorial()], ids=str)
def test_whole_rankings_come_back_whole(codec: RankCodec) -> None:
    ranks = draw_ranking(7, 1000)
    assert torch.equal(codec.decode(codec.encode(ranks), 1000), ranks)


def test_many_edges_are_written_in_chunks() -> None:
    ranks = draw_ranking(1, 40_000)  # of 16 bits each, in three chunks of 16,384
    for codec in (PackedRanks(), Levels(4), TopIds(0.5), TopSets(0.5)):
        assert torch.equal(codec.decode(codec.encode(ranks), 40_000), codec.ballot(ranks))


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None, "5"], ids=repr)
@pytest.mark.parametrize("codec", ALL, ids=str)
def test_a_size_that_is_no_count_of_edges_is_the_readers_mistake(
    codec: RankCodec, size: Any
) -> None:
    with pytest.raises(robust.RuleError, match=re.escape(f"size={size!r} is not a whole number")):
        codec.decode(b"", size)


@pytest.mark.parametrize("data", ["abc", 3, None, [1, 2]], ids=repr)
@pytest.mark.parametrize("codec", ALL, ids=str)
def test_what_is_no_bytes_is_the_readers_mistake(codec: RankCodec, data: Any) -> None:
    with pytest.raises(robust.RuleError, match=re.escape(f"data={data!r} is no bytes")):
        codec.decode(data, 5)


def test_every_codec_is_in_the_table() -> None:
    assert {type(codec) for codec in ALL} == set(CODECS.values())


# Ranks 2 0 4 1 3 of five edges: edge 1 is worst, then 3, 0, 4, and 2 is best.
RANKS = torch.tensor([2, 0, 4, 1, 3])


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        # 3 bits each, lowest first: 010 000 001 100 110 backwards, that is 010 000 00|1 100 110 0.
        (PackedRanks(), [0b00000010, 0b00110011]),
        (Levels(1), [0b00010100]),
        # Levels 1 0 3 0 2: lowest bit first, 10 00 11 00 | 01 in the order of reading.
        (Levels(2), [0b00110001, 0b00000010]),
        # Edges 4 and 2 of 3 bits: 4 + 2 * 8 = 20.
        (TopIds(0.4), [20]),
        # The set {2, 4} has no low bits: the bits 2 + 0 and 4 + 1 of 2 + 4. Of the two, 4 is the
        # worse: order 1, 0.
        (TopSets(0.4), [0b100100, 0b01]),
        # Digits 2, 0, 2, 0, 0 to the bases 5, 4, 3, 2, 1: 2 * 24 + 0 * 6 + 2 * 2 = 52.
        (Factorial(), [52]),
    ],
    ids=str,
)
def test_bytes_by_hand(codec: RankCodec, data: list[int]) -> None:
    assert list(codec.encode(RANKS)) == data
    assert torch.equal(codec.decode(bytes(data), 5), codec.ballot(RANKS))


def test_a_single_edge_needs_no_bytes() -> None:
    assert PackedRanks().encode(torch.tensor([0])) == b""
    assert PackedRanks().decode(b"", 1).tolist() == [0]


@pytest.mark.parametrize(
    ("codec", "data", "complaint"),
    [
        (PackedRanks(), [0b00000010], "1 bytes, expected 2"),
        (PackedRanks(), [0b00000010, 0b00110011, 0], "3 bytes, expected 2"),
        (PackedRanks(), [0b00000010, 0b10110011], "bits behind"),
        (PackedRanks(), [0b00000000, 0b00110011], "2 is missing"),
        (PackedRanks(), [0b00000010, 0b01110011], "7 is outside"),
        (Levels(1), [0b00010101], "2 edges of level 0, expected 3"),
        (Levels(1), [0b00011100], "2 edges of level 0"),
        (Levels(1), [0b10010100], "bits behind"),
        (Levels(2), [0b11111111, 0b00000011], "0 edges of level 0, expected 2"),
        (TopIds(0.4), [36], "list: an edge is there twice"),  # 4 and 4
        (TopIds(0.4), [4 + 5 * 8], "5 is outside"),
        (TopIds(0.4), [20 + 128], "bits behind"),
        (TopSets(0.4), [0b000100, 0b01], "a set of 1 ids, expected 2"),
        (TopSets(0.4), [0b100110, 0b01], "a set of 3 ids, expected 2"),
        (TopSets(0.4), [0b001100, 0b01], "do not ascend"),  # 2 and 2
        (TopSets(0.4), [0b1100100, 0b01], "bits behind"),
        (TopSets(0.4), [0b100100, 0b11], "order of the list is not a permutation"),
        (TopSets(0.4), [0b100100, 0b101], "bits behind"),
        (Factorial(), [120], "not below 5!"),
        (Factorial(), [255], "not below 5!"),
    ],
)
def test_what_no_ranking_is_written_as_is_refused(
    codec: RankCodec, data: list[int], complaint: str
) -> None:
    with pytest.raises(robust.RankError, match=complaint):
        codec.decode(bytes(data), 5)


@pytest.mark.parametrize("codec", ALL, ids=str)
def test_only_rankings_are_written(codec: RankCodec) -> None:
    with pytest.raises(robust.RankError, match="ranks"):
        codec.encode(torch.tensor([0, 2, 2]))


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(robust.RuleError, match="bits=3"):
        Levels(3)
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(robust.RuleError, match="share"):
            TopIds(share)
        with pytest.raises(robust.RuleError, match="share"):
            TopSets(share)
    with pytest.raises(robust.RuleError, match="size=65537"):
        Factorial().encoded_bytes(65_537)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_numbers_of_permutations_are_all_below_the_factorial(size: int) -> None:
    permutations = [factorial.permutation_of(it, size) for it in range(math.factorial(size))]
    assert permutations == sorted(permutations)
    assert len(set(map(tuple, permutations))) == math.factorial(size)
    assert [factorial.number_of(it) for it in permutations] == list(range(len(permutations)))


def megabytes(codec: RankCodec, layers: list[int]) -> float:
    return sum(codec.encoded_bytes(size) for size in layers) / MEBIBYTE


@pytest.mark.parametrize(
    ("codec", "lenet", "conv8"),
    [
        (PackedRanks(), 4.05, 13.07),  # of 6.20 and 20.13 of float32
        (Levels(1), 0.19, 0.63),
        (Levels(2), 0.39, 1.26),
        (Levels(4), 0.78, 2.52),
        (Levels(8), 1.55, 5.03),
        (TopIds(0.5), 2.03, 6.53),  # the least possible are 1.95 and 6.16
        (TopIds(0.1), 0.405, 1.307),  # the least possible are 0.396 and 1.256
        (TopSets(0.5), 2.22, 7.16),
        (TopSets(0.1), 0.449, 1.393),
    ],
    ids=str,
)
def test_sizes_of_the_networks_of_the_paper(codec: RankCodec, lenet: float, conv8: float) -> None:
    assert (sum(LENET), sum(CONV8)) == (1_625_632, 5_275_840)
    digits = 3 if lenet < 0.5 and conv8 > 1.3 else 2
    assert round(megabytes(codec, LENET), digits) == lenet
    assert round(megabytes(codec, CONV8), digits) == conv8


def entropy_megabytes(layers: list[int], share: float) -> float:
    """Return log2 of the number of ordered lists of the best `share`: n! / (n - m)!."""
    nats = sum(math.lgamma(it + 1) - math.lgamma(it - math.floor(share * it) + 1) for it in layers)
    return nats / math.log(2) / 8 / MEBIBYTE


@pytest.mark.parametrize(
    ("share", "lenet", "conv8"), [(1.0, 3.70, 11.70), (0.5, 1.95, 6.16), (0.1, 0.40, 1.26)]
)
def test_codecs_are_near_the_least_possible(share: float, lenet: float, conv8: float) -> None:
    for layers, least in ((LENET, lenet), (CONV8, conv8)):
        bound = entropy_megabytes(layers, share)
        assert round(bound, 2) == least
        ids, sets = megabytes(TopIds(share), layers), megabytes(TopSets(share), layers)
        assert bound <= ids <= 1.12 * bound
        # A set and an order among it say something twice.
        assert ids < sets <= 1.3 * bound


def test_factorial_code_is_the_least_possible() -> None:
    size = 1_280
    bound = entropy_megabytes([size], 1.0) * MEBIBYTE
    assert Factorial().encoded_bytes(size) == math.ceil(bound)
    assert Factorial().encoded_bytes(size) < 0.88 * PackedRanks().encoded_bytes(size)


def test_sets_by_hand() -> None:
    # Of 50, with 4 low bits: 5 and 12 of 2 * 16 + 5 = 37 and 2 * 16 + 12 = 44, which is 197; above
    # them 2 and 2: the bits 2 + 0 and 2 + 1 of 2 + 3.
    assert list(elias_fano.encode(torch.tensor([37, 44]), 50)) == [197, 0b01100]
    assert elias_fano.decode(bytes([197, 0b01100]), size=50, count=2).tolist() == [37, 44]
    with pytest.raises(robust.RankError, match="do not ascend"):  # 44 and 37
        elias_fano.decode(bytes([12 + 5 * 16, 0b01100]), size=50, count=2)
    with pytest.raises(robust.RankError, match=r"id 60 is outside 0\.\.49"):
        elias_fano.decode(bytes([197, 0b10100]), size=50, count=2)


@pytest.mark.slow
@FEW
@given(data=st.data(), size=st.integers(1, 500))
def test_sets_are_near_their_entropy(data: st.DataObject, size: int) -> None:
    count = data.draw(st.integers(1, size))
    encoded_bits = 8 * elias_fano.encoded_bytes(size, count)
    two_broken_bytes = 14
    assert math.log2(math.comb(size, count)) <= encoded_bits
    assert encoded_bits <= count * (2 + math.log2(size / count)) + two_broken_bytes


@pytest.mark.slow
@FEW
@given(data=st.data(), width=st.integers(0, 52), count=st.integers(1, 40))
def test_values_of_any_width_are_packed(data: st.DataObject, width: int, count: int) -> None:
    values = data.draw(st.lists(st.integers(0, (1 << width) - 1), min_size=count, max_size=count))
    packed = bits.pack(torch.tensor(values), width)
    assert int.from_bytes(packed, "little") == sum(
        value << (width * place) for place, value in enumerate(values)
    )
    assert bits.unpack(packed, count=count, width=width).tolist() == values
