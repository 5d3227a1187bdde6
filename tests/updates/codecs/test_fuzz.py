"""Bytes from anyone: a vector or a CodecError, and where a code has one writing, only that one."""

import random
import struct
from collections import Counter

import pytest
import torch
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.errors import CodecError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import BFloat16, Float32, Int4, Sign, Sparse, TopK, Uniform
from tests.mutations import mutate
from tests.updates.codecs.cases import CODEC_OBJECTS, make_vector

codecs = pytest.mark.parametrize("codec", CODEC_OBJECTS, ids=repr)
SIZES = [1, 2, 5, 64, 100, 300]
# Neither zstd, which has many writings, nor values that encoding chooses anew.
ONE_WRITING = [Float32(), Sign(block=16), Sparse(chunk=32, kept=4, exponent=0)]


def fuzz(codec: Codec, count: int) -> Counter[str]:
    rng = random.Random(f"fuzz {codec}")
    sizes = [max(SIZES) + 5000] * (codec == Sparse(exponent=10)) + SIZES
    valid = [
        (size, codec.encode(make_vector(size, seed=seed))) for size in sizes for seed in range(4)
    ]
    outcomes = Counter[str]()
    for _ in range(count):
        size, encoded = rng.choice(valid)
        try:
            decoded = codec.decode(memoryview(mutate(encoded, rng)), size)
        except CodecError:
            outcomes["refused"] += 1
            continue
        outcomes["decoded"] += 1
        assert decoded.shape == (size,)
        assert bool(torch.isfinite(decoded).all())
    return outcomes


@codecs
def test_mutated_bytes_decode_or_raise_codec_error(codec: Codec) -> None:
    outcomes = fuzz(codec, 600)
    assert outcomes["refused"] > 200


@pytest.mark.nightly
@codecs
def test_many_mutated_bytes_decode_or_raise_codec_error(codec: Codec) -> None:
    fuzz(codec, 100_000)


@codecs
@settings(max_examples=50)
@given(data=st.binary(max_size=600), size=st.integers(1, 300))
def test_any_bytes_decode_or_raise_codec_error(codec: Codec, data: bytes, size: int) -> None:
    try:
        decoded = codec.decode(data, size)
    except CodecError:
        return
    assert decoded.shape == (size,)


@pytest.mark.parametrize("codec", ONE_WRITING, ids=repr)
def test_what_decodes_is_what_encoding_writes(codec: Codec) -> None:
    rng = random.Random(0)
    for seed in range(600):
        size = rng.choice(SIZES[2:])  # the zeros behind a last chunk of 1 or 2 count in its mean
        # Few different magnitudes, so that mutated ones are often in order.
        encoded = codec.encode(make_vector(size, seed=seed).sign() * (1 + seed % 3))
        mutated = mutate(encoded, rng)
        try:
            decoded = codec.decode(mutated, size)
        except CodecError:
            continue
        if isinstance(codec, Sparse) and int(decoded.count_nonzero()) % codec.kept:
            continue  # a magnitude of 0, and with it the places of tiny values
        assert codec.encode(decoded) == mutated


@pytest.mark.parametrize(
    ("codec", "start"),
    [(BFloat16(), 0), (Int4(), 4), (Uniform(), 9), (TopK(density=0.5), 4)],
    ids=repr,
)
def test_a_claimed_size_is_checked_before_it_is_allocated(codec: Codec, start: int) -> None:
    # A frame header of 13 bytes that claims 2^60 bytes of content.
    header = bytes.fromhex("28b52ffd" + "e0") + (1 << 60).to_bytes(8, "little")
    data = codec.encode(make_vector(100))
    with pytest.raises(CodecError, match="frame of 1152921504606846976 bytes"):
        codec.decode(data[:start] + header + data[start + 13 :], 100)
    bomb = zstandard.ZstdCompressor().compress(bytes(100_000))
    with pytest.raises(CodecError, match="frame of 100000 bytes"):
        codec.decode(data[:start] + bomb + bytes(20), 100)


def test_a_count_that_would_make_a_large_frame_expected_is_refused_first() -> None:
    count = 2**32 - 1
    frame = bytes.fromhex("28b52ffd" + "e0") + (32 + count).to_bytes(8, "little")
    data = struct.pack("<fIB", 1.0, count, 1) + frame
    with pytest.raises(CodecError, match="4294967295 wide multiples of 1 bytes"):
        Uniform().decode(data, 64)


def test_a_frame_without_size_or_with_a_tail_is_refused() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(200))
    with pytest.raises(CodecError):
        BFloat16().decode(unsized, 100)
    with pytest.raises(CodecError):
        BFloat16().decode(BFloat16().encode(torch.zeros(100)) + b"x", 100)
