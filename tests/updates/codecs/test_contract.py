"""What every codec of the table keeps."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from p2pfed.errors import CodecError, LocalError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import BFloat16, Float32, Int4, Int8, RandK, Sign, Sparse, Uniform
from p2pfed.updates.registry import CODECS, create_codec
from tests.updates.codecs.cases import CODEC_OBJECTS, make_vector

SIZES = [0, 1, 2, 3, 255, 256, 257, 1000]
SCALES = [0.0, 1e-40, 1e-7, 1.0, 8e6 / 6]

codecs = pytest.mark.parametrize("codec", CODEC_OBJECTS, ids=repr)
vectors = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300).map(
    lambda values: torch.tensor(values, dtype=torch.float32)
)
# Far enough from 0 for the float16 magnitudes of `sparse`, with spikes and zeros.
contraction_vectors = st.lists(
    st.one_of(
        st.floats(2.0**-5, 1, width=32),
        st.floats(-1, -(2.0**-5), width=32),
        st.sampled_from([0.0, 8.0, -512.0, 2.0**15]),
    ),
    min_size=1,
    max_size=200,
).map(lambda values: torch.tensor(values, dtype=torch.float32))


def test_every_codec_of_the_table_is_tested() -> None:
    assert {type(codec) for codec in CODEC_OBJECTS} == set(CODECS.values())
    assert all(made.name == name for name, made in CODECS.items())


@codecs
@settings(max_examples=50)
@given(vector=vectors)
def test_round_trip_is_as_precise_as_stated(codec: Codec, vector: Tensor) -> None:
    before = vector.clone()
    data = codec.encode(vector)
    decoded = codec.decode(data, len(vector))
    assert torch.equal(vector, before)
    assert decoded.dtype == torch.float32
    assert bool(((decoded - vector).abs() <= codec.error_max(vector)).all())
    assert len(data) <= codec.encoded_bytes_max(len(vector))


@codecs
@pytest.mark.parametrize("size", SIZES)
def test_extremes_survive(codec: Codec, size: int) -> None:
    for scale in SCALES:
        vector = make_vector(size, scale=scale)
        decoded = codec.decode(codec.encode(vector), size)
        assert bool(((decoded - vector).abs() <= codec.error_max(vector)).all())
    zeros = torch.zeros(size)
    assert torch.equal(codec.decode(codec.encode(zeros), size), zeros)


@codecs
def test_equal_vectors_give_equal_bytes_with_any_number_of_threads(codec: Codec) -> None:
    vector = make_vector(150_001)
    data = codec.encode(vector)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert codec.encode(vector.clone()) == data
        assert codec.encode(torch.stack([vector, vector])[:, ::1].T[:, 0]) == data
    finally:
        torch.set_num_threads(threads)


@codecs
@settings(max_examples=50)
@given(vector=contraction_vectors)
def test_a_round_trip_keeps_the_share_of_energy_that_is_stated(
    codec: Codec, vector: Tensor
) -> None:
    if isinstance(codec, RandK):
        return  # keeps it on average, as test_contraction.py shows
    if isinstance(codec, Sparse):
        codec = Sparse(chunk=codec.chunk, kept=codec.kept, index=codec.index, exponent=0)
    decoded = codec.decode(codec.encode(vector), len(vector))
    error, energy = (decoded - vector).double().square().sum(), vector.double().square().sum()
    assert float(error) <= (1 - codec.contraction_min) * float(energy) * (1 + 1e-6)


@codecs
def test_a_share_of_energy_is_stated(codec: Codec) -> None:
    lossy = isinstance(codec, Uniform) and codec.step_rms > 2
    assert codec.contraction_min == 0 if lossy else 0 < codec.contraction_min <= 1


@codecs
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_encoded(codec: Codec, value: float) -> None:
    with pytest.raises(LocalError, match="NaN or infinity"):
        codec.encode(torch.tensor([0.0, value, 1.0]))


@codecs
@pytest.mark.parametrize("value", [1e38, 3e38, torch.finfo(torch.float32).max])
def test_the_largest_values_survive_or_are_refused(codec: Codec, value: float) -> None:
    vector = torch.full((9,), value)
    try:
        data = codec.encode(vector)
    except LocalError:
        return
    decoded = codec.decode(data, 9)
    assert bool(((decoded - vector).abs() <= codec.error_max(vector)).all())


@pytest.mark.parametrize("codec", [BFloat16(), Int8(), Int4(), Uniform(), Sign(), Sparse()])
def test_values_beyond_the_range_are_refused(codec: Codec) -> None:
    with pytest.raises(LocalError, match="beyond"):
        codec.encode(torch.tensor([torch.finfo(torch.float32).max]))


@pytest.mark.parametrize("vector", [torch.zeros(2, 2), torch.zeros(2, dtype=torch.float64)])
def test_only_float32_vectors_are_encoded(vector: Tensor) -> None:
    with pytest.raises(LocalError, match="expected"):
        Float32().encode(vector)


@codecs
def test_one_byte_more_or_less_is_refused(codec: Codec) -> None:
    data = codec.encode(make_vector(300))
    for wrong in (data + b"\0", data[:-1], b""):
        with pytest.raises(CodecError):
            codec.decode(wrong, 300)


@codecs
def test_another_size_is_refused(codec: Codec) -> None:
    data = codec.encode(make_vector(300))
    for size in (0, 1, 150, 5000):
        with pytest.raises(CodecError):
            codec.decode(data, size)


@pytest.mark.parametrize(
    ("name", "constant"), [("top-k", "density"), ("rand-k", "density"), ("uniform", "step_rms")]
)
def test_an_integer_makes_the_same_genesis_as_a_float(name: str, constant: str) -> None:
    described = [create_codec(name, **{constant: one}).describe()[constant] for one in (1, 1.0)]
    assert [type(value) for value in described] == [float, float]


@codecs
def test_it_can_be_made_again_from_what_it_describes(codec: Codec) -> None:
    assert create_codec(codec.name, **codec.describe()) == codec
    assert create_codec(codec) == codec
