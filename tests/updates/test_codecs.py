"""Codecs: what comes back, at which precision, and that no bytes do harm."""

import math
import random

import numpy as np
import pytest
import torch
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import BFloat16, Float32, Int8
from p2pfed.updates.registry import CODECS, create_codec

CODEC_OBJECTS = [Float32(), BFloat16(), Int8(), Int8(block=1), Int8(block=7)]
SIZES = [1, 2, 3, 255, 256, 257, 1000]

codecs = pytest.mark.parametrize("codec", CODEC_OBJECTS, ids=repr)
vectors = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300).map(
    lambda values: torch.tensor(values, dtype=torch.float32)
)


def make_vector(size: int, *, seed: int = 0, scale: float = 0.01) -> Tensor:
    values = np.random.default_rng(seed).normal(size=size) * scale
    return torch.from_numpy(values.astype(np.float32))


def test_every_codec_of_the_table_is_tested() -> None:
    assert {type(codec) for codec in CODEC_OBJECTS} == set(CODECS.values())
    assert all(made.name == name for name, made in CODECS.items())


@codecs
@given(vector=vectors)
def test_round_trip_is_as_precise_as_stated(codec: Codec, vector: Tensor) -> None:
    before = vector.clone()
    data = codec.encode(vector)
    decoded = codec.decode(data, len(vector))
    assert torch.equal(vector, before)
    assert decoded.dtype == torch.float32
    assert bool(((decoded - vector).abs() <= codec.error_max(vector)).all())
    assert len(data) <= codec.encoded_bytes_max(len(vector))
    assert codec.encode(vector.clone()) == data


@codecs
@pytest.mark.parametrize("size", SIZES)
def test_extremes_survive(codec: Codec, size: int) -> None:
    for scale in (0.0, 1e-40, 1e-7, 1.0, 8e6 / 6):
        vector = make_vector(size, scale=scale)
        decoded = codec.decode(codec.encode(vector), size)
        assert bool(((decoded - vector).abs() <= codec.error_max(vector)).all())
    zeros = torch.zeros(size)
    assert torch.equal(codec.decode(codec.encode(zeros), size), zeros)


def test_float32_is_exact_and_costs_four_bytes_a_value() -> None:
    vector = make_vector(10_000)
    data = Float32().encode(vector)
    assert len(data) == 40_000
    assert data[:4] == np.float32(vector[0]).astype("<f4").tobytes()
    assert torch.equal(Float32().decode(data, 10_000), vector)


def test_bfloat16_is_the_nearest_one_and_compressed() -> None:
    vector = make_vector(100_000)
    data = BFloat16().encode(vector)
    assert len(data) < 1.5 * len(vector)
    assert torch.equal(BFloat16().decode(data, len(vector)), vector.bfloat16().float())


def test_incompressible_values_stay_below_the_bound() -> None:
    generator = np.random.default_rng(0)
    for size in SIZES:
        words = generator.integers(0, 0x7F00, size, dtype=np.uint32) << 16
        vector = torch.from_numpy(words.view(np.float32))
        assert len(BFloat16().encode(vector)) <= BFloat16().encoded_bytes_max(size)


def test_int8_by_hand() -> None:
    # Largest magnitude 127, so scale 1 (bfloat16 80 3f) and each value is its own byte.
    data = Int8(block=4).encode(torch.tensor([127.0, -127.0, 1.4, 0.0, 0.0]))
    assert data.hex() == "803f" + "0000" + "7f810100" + "00"
    assert Int8(block=4).decode(data, 5).tolist() == [127.0, -127.0, 1.0, 0.0, 0.0]


def test_int8_scale_is_rounded_up() -> None:
    # 1.0001 / 127 lies between two bfloat16; the lower one would need 127.5 steps.
    for value in np.linspace(1.0, 2.0, 101, dtype=np.float32):
        decoded = Int8(block=1).decode(Int8(block=1).encode(torch.tensor([value])), 1)
        assert abs(float(decoded[0]) - value) <= value / 127 * (1 + 2.0**-7) / 2


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1e30])
def test_int8_is_as_precise_for_tiny_values_as_for_large_ones(scale: float) -> None:
    vector = make_vector(1000, scale=scale)
    error = (Int8().decode(Int8().encode(vector), 1000) - vector).double()
    assert float(error.norm() / vector.double().norm()) < 0.0075


@codecs
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_encoded(codec: Codec, value: float) -> None:
    with pytest.raises(LocalError, match="NaN or infinity"):
        codec.encode(torch.tensor([0.0, value, 1.0]))


@pytest.mark.parametrize("codec", [BFloat16(), Int8()], ids=repr)
def test_values_beyond_the_range_are_refused(codec: Codec) -> None:
    with pytest.raises(LocalError, match="beyond"):
        codec.encode(torch.tensor([torch.finfo(torch.float32).max]))


@pytest.mark.parametrize("vector", [torch.zeros(2, 2), torch.zeros(2, dtype=torch.float64)])
def test_only_float32_vectors_are_encoded(vector: Tensor) -> None:
    with pytest.raises(LocalError, match="expected"):
        Float32().encode(vector)


@codecs
def test_mutated_bytes_decode_or_raise_codec_error(codec: Codec) -> None:
    rng = random.Random(0)
    size = 300
    data = codec.encode(make_vector(size))
    refused = 0
    for _ in range(2_000):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        cut = rng.choice([len(mutated), len(mutated), rng.randrange(len(mutated) + 1)])
        tail = rng.choice([b"", b"", rng.randbytes(3)])
        try:
            decoded = codec.decode(memoryview(bytes(mutated[:cut]) + tail), size)
        except CodecError:
            refused += 1
        else:
            assert decoded.shape == (size,)
            assert bool(torch.isfinite(decoded).all())
    assert refused > 500


@codecs
@settings(max_examples=100)
@given(data=st.binary(max_size=600), size=st.integers(1, 300))
def test_any_bytes_decode_or_raise_codec_error(codec: Codec, data: bytes, size: int) -> None:
    try:
        decoded = codec.decode(data, size)
    except CodecError:
        return
    assert decoded.shape == (size,)


def test_a_claimed_size_is_checked_before_it_is_allocated() -> None:
    # A frame header of 13 bytes that claims 2^60 bytes of content.
    header = bytes.fromhex("28b52ffd" + "e0") + (1 << 60).to_bytes(8, "little")
    with pytest.raises(CodecError, match="frame of 1152921504606846976 bytes"):
        BFloat16().decode(header, 100)
    bomb = zstandard.ZstdCompressor().compress(bytes(10_000_000))
    with pytest.raises(CodecError, match="expected"):
        BFloat16().decode(bomb, 4_000)


def test_a_frame_without_size_or_with_a_tail_is_refused() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(200))
    with pytest.raises(CodecError):
        BFloat16().decode(unsized, 100)
    with pytest.raises(CodecError):
        BFloat16().decode(BFloat16().encode(torch.zeros(100)) + b"x", 100)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x80\x7f" + b"\x01", "infinite"),  # scale infinity
        (b"\xc0\x7f" + b"\x01", "infinite"),  # scale NaN
        (b"\x80\xbf" + b"\x01", "negative"),  # scale -1
        (b"\x00\x80" + b"\x00", "negative"),  # scale -0
        (b"\x80\x3f" + b"\x80", "-128"),  # a value that encoding never makes
        (b"\x00\x00" + b"\x01", "scale 0"),  # the same
    ],
)
def test_int8_refuses_scales_and_values_out_of_range(data: bytes, complaint: str) -> None:
    with pytest.raises(CodecError, match=complaint):
        Int8().decode(data, 1)


def test_float32_refuses_nan() -> None:
    with pytest.raises(CodecError, match="NaN"):
        Float32().decode(np.array([math.nan, 0.0], dtype="<f4").tobytes(), 2)


def test_codecs_are_values() -> None:
    assert create_codec("int8", block=64) == Int8(block=64)
    assert Int8(block=64).describe() == {"block": 64}
    assert create_codec(Int8()) == Int8()
