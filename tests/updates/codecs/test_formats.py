"""Each codec's bytes worked by hand, what it refuses, and how many bytes there are."""

import math

import numpy as np
import pytest
import torch

from p2pfed.errors import CodecError, ConfigError
from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import (
    BFloat16,
    Float32,
    Int4,
    Int8,
    RandK,
    Sign,
    Sparse,
    TopK,
    Uniform,
)
from p2pfed.updates.codecs.chunk_indices import Raw12, RiceGaps
from p2pfed.updates.codecs.entropy import compress, decompress
from p2pfed.updates.codecs.sparse import two_magnitudes
from p2pfed.updates.registry import create_codec
from tests.updates.codecs.cases import make_vector


def floats(*values: float) -> bytes:
    return np.array(values, dtype="<f4").tobytes()


# ------------------------------------------------------------------------- worked by hand


def test_float32_is_exact_and_costs_four_bytes_a_value() -> None:
    vector = make_vector(10_000)
    data = Float32().encode(vector)
    assert len(data) == 40_000
    assert data[:4] == np.float32(vector[0]).astype("<f4").tobytes()
    assert torch.equal(Float32().decode(data, 10_000), vector)


def test_bfloat16_is_the_nearest_one_and_compressed() -> None:
    vector = make_vector(100_000)
    data = BFloat16().encode(vector)
    assert len(data) < 1.37 * len(vector)
    assert torch.equal(BFloat16().decode(data, len(vector)), vector.bfloat16().float())


def test_bfloat16_by_hand() -> None:
    # 1.0 is 3f80 and -2.5 is c020: first the high bytes, then the low ones.
    data = BFloat16().encode(torch.tensor([1.0, -2.5]))
    assert decompress("", data, 4).hex() == "3fc0" + "8020"


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


def test_int4_by_hand() -> None:
    # Scale 1, then nibbles 7, -7 = 9, 1, 0, and 2 steps of 1/2, scale 3f00, at the end.
    data = Int4(block=4).encode(torch.tensor([7.0, -7.0, 1.4, 0.0, 3.5]))
    assert data[:4].hex() == "803f" + "003f"
    assert decompress("", data[4:], 3).hex() == "97" + "01" + "07"
    assert Int4(block=4).decode(data, 5).tolist() == [7.0, -7.0, 1.0, 0.0, 3.5]


def test_uniform_by_hand() -> None:
    # Root mean square 2, step 1; nibbles 0, 2, -2 = e, 3 and nothing; nothing is wide.
    vector = torch.tensor([0.4, 2.0, -2.0, math.sqrt(16 - 4 - 4 - 0.16 + 4), 0.0])[:5]
    data = Uniform(step_rms=1 / float(vector.square().mean().sqrt())).encode(vector)
    assert data[4:9].hex() == "00000000" + "00"
    assert decompress("", data[9:], 3).hex() == "20" + "3e" + "00"


def test_uniform_writes_wide_multiples_behind_the_others() -> None:
    # A value of -20 among 99 zeros: root mean square 2, step 2, multiple -10, code 2 (10 - 8) + 1.
    vector = torch.zeros(100)
    vector[1] = -20.0
    data = Uniform(step_rms=1.0).encode(vector)
    assert data[:9] == floats(2.0) + b"\1\0\0\0" + b"\1"
    assert decompress("", data[9:], 51).hex() == "80" + "00" * 49 + "05"
    assert torch.equal(Uniform(step_rms=1.0).decode(data, 100), vector)


def test_sign_by_hand() -> None:
    # Means 2 (4000) and 1 (803f); negative are the second value and the fourth.
    data = Sign(block=3).encode(torch.tensor([1.0, -2.0, 3.0, -1.0]))
    assert data.hex() == "0040" + "803f" + "0a"
    assert Sign(block=3).decode(data, 4).tolist() == [2.0, -2.0, 2.0, -1.0]


def test_top_k_by_hand() -> None:
    codec = TopK(density=0.19, values="float32")
    # 2 of 9: ids 3 and 7, low bits 1 each (1, 1: 03), high parts 1 and 3: 0 1 0 0 1 (12).
    vector = torch.tensor([0.0, 1.0, -1.0, 3.0, 1.0, 0.0, 0.0, -4.0, 0.0])
    data = codec.encode(vector)
    assert data == bytes.fromhex("03" + "12") + floats(3.0, -4.0)
    assert codec.decode(data, 9).tolist() == [0, 0, 0, 3.0, 0, 0, 0, -4.0, 0]


def test_top_k_has_a_mask_for_dense_vectors_and_prefers_the_first_of_equals() -> None:
    codec = TopK(density=0.5, values="float32")
    data = codec.encode(torch.tensor([1.0, -2.0, 1.0, 1.0]))
    frame = compress(b"\x03")
    assert data == len(frame).to_bytes(4, "little") + frame + floats(1.0, -2.0)


def test_rand_k_by_hand() -> None:
    codec = RandK(density=0.5, values="float32")
    vector = torch.arange(10.0)
    data = codec.encode(vector)
    assert data.hex() == ("ed65a66499ffd923" + floats(0, 3, 5, 6, 8).hex())
    decoded = codec.decode(data, 10)
    kept = decoded[decoded > 0].tolist()
    # One of each pair, as it is, and never times n / k.
    assert kept == [3.0, 5.0, 6.0, 8.0]
    assert codec.encode(vector + 1)[:8] != data[:8]


def test_sparse_by_hand() -> None:
    # Chunks of 8 keep 2. First 4 and -4 at 1 and 6: both magnitudes 4 (4400), codes 0 and 10.
    # Then 1 and 3 at 0 and 1: magnitudes 3c00 and 4200, codes 00 and 01. Codes together: 0 2 0 1
    # from low to high bits = 01001000 = 48. Gaps 1, 4 and 0, 0; the best Rice parameter of 2 of 8
    # is 1: quotients 0, 2, 0, 0 = 0 110 0 0 (60), low bits 1, 0, 0, 0 (80).
    codec = Sparse(chunk=8, kept=2, exponent=0)
    vector = torch.tensor([0, 4.0, 0, 0, 0, 0, -4.0, 0, 1.0, 3.0, 0.5])
    data = codec.encode(vector)
    assert data.hex() == "00440044" + "003c0042" + "48" + "60" + "80"
    assert codec.decode(data, 11).tolist() == [0, 4.0, 0, 0, 0, 0, -4.0, 0, 1.0, 3.0, 0]


def test_sparse_magnitudes_are_multiples_of_its_exponent() -> None:
    vector = torch.zeros(4096)
    vector[0] = 2.0**-20
    data = Sparse(exponent=-20).encode(vector)
    assert data[:4].hex() == "0000" + "003c"
    assert torch.equal(Sparse(exponent=-20).decode(data, 4096), vector)


def test_two_magnitudes_of_lloyd_and_max() -> None:
    values = np.array([[4.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 4.0], [5.0] * 8, [0.0] * 8])
    low, high, is_upper = two_magnitudes(values)
    assert low.tolist() == [1.5, 5.0, 0.0]
    assert high.tolist() == [3.5, 5.0, 0.0]
    assert is_upper[0].tolist() == [True, True, False, False, False, False, True, True]
    assert not is_upper[1:].any()


def test_raw_indices_are_those_of_templar() -> None:
    indices = np.array([[0, 4095, 1, 2, 3001, 77]])
    assert Raw12(4096, 6).encode(indices).hex() == "00f0ff012000b9db04"
    ascending = np.sort(indices)
    data = memoryview(Raw12(4096, 6).encode(ascending))
    assert np.array_equal(Raw12(4096, 6).decode("", data, 1), ascending)


def test_the_rice_parameter_of_64_in_4096_is_5() -> None:
    assert RiceGaps(4096, 64).low_bits == 5


# ------------------------------------------------------------------------- what is refused

INT4_FRAME = compress(b"\x77")
ONE = b"\x80\x3f"


@pytest.mark.parametrize(
    ("codec", "size", "data", "complaint"),
    [
        (Float32(), 2, floats(math.nan, 0.0), "NaN"),
        (BFloat16(), 1, compress(b"\x7f\x80"), "infinity"),
        (Int8(), 1, b"\x80\x7f" + b"\x7f", "infinite"),
        (Int8(), 1, b"\xc0\x7f" + b"\x7f", "NaN"),
        (Int8(), 1, b"\x80\xbf" + b"\x7f", "negative"),
        (Int8(), 1, b"\x00\x80" + b"\x00", "negative"),
        (Int8(), 1, ONE + b"\x80", "-128"),
        (Int8(), 1, b"\x00\x00" + b"\x01", "scale 0"),
        (Int8(), 1, ONE + b"\x7d", "larger than"),
        (Int8(block=2), 3, ONE + ONE + b"\x7f\x00\x01", "larger than"),
        (Int8(), 1, b"\x7f\x7f" + b"\x7f", "infinity"),
        (Int4(), 2, ONE + compress(b"\x87"), "-8"),
        (Int4(), 1, ONE + INT4_FRAME, "half byte"),
        (Int4(), 2, b"\x80\x7f" + INT4_FRAME, "infinite"),
        (Int4(), 2, ONE + compress(b"\x66"), "larger than"),
        (Int4(), 2, b"\x00\x00" + INT4_FRAME, "scale 0"),
        (Int4(), 2, ONE + compress(b"\x77\x77"), "frame of 2 bytes"),
        (Uniform(), 2, floats(-1.0) + bytes(5) + compress(b"\x11"), "step of -1"),
        (Uniform(), 2, floats(-0.0) + bytes(5) + compress(b"\x00"), "step of -0"),
        (Uniform(), 2, floats(math.nan) + bytes(5) + compress(b"\x11"), "step of nan"),
        (Uniform(), 2, floats(math.inf) + bytes(5) + compress(b"\x11"), "step of inf"),
        (Uniform(), 2, floats(1e-40) + bytes(5) + compress(b"\x11"), "step of"),
        (Uniform(), 2, floats(0.0) + bytes(5) + compress(b"\x11"), "step 0"),
        (Uniform(), 2, floats(1.0) + bytes(5) + compress(b"\x81"), "1 wide"),
        (Uniform(), 1, floats(1.0) + bytes(5) + compress(b"\x11"), "half byte"),
        (Uniform(), 2, floats(1.0) + b"\2\0\0\0\1" + compress(b"\x88\0\0"), "2 wide"),
        (Uniform(), 64, floats(1.0) + b"\1\0\0\0\0" + compress(bytes(32)), "of 0 bytes"),
        (Uniform(), 64, floats(1.0) + b"\1\0\0\0\4" + compress(bytes(36)), "of 4 bytes"),
        (
            Uniform(step_rms=0.01),
            2,
            floats(1.0) + b"\1\0\0\0\2" + compress(b"\x81\5\0"),
            "fewer than 2",
        ),
        (Uniform(), 2, floats(3e38) + bytes(5) + compress(b"\x77"), "infinity"),
        (Sign(), 1, ONE + b"\x02", "behind"),
        (Sign(), 1, b"\x00\x00" + b"\x01", "scale 0"),
        (Sign(), 1, b"\x80\xbf" + b"\x00", "negative"),
        (TopK(density=0.19, values="float32"), 9, b"\x03\x03" + floats(1, 2), "ascend"),
        (TopK(density=0.19, values="float32"), 9, b"\x03\x02" + floats(1, 2), "1 ids"),
        (TopK(density=0.19, values="float32"), 9, b"\x03\x30" + floats(1, 2), "outside"),
        (TopK(density=0.19, values="float32"), 9, b"\x03\xc0" + floats(1, 2), "not zero"),
        (TopK(density=0.19, values="float32"), 9, b"\x03\x12" + floats(1, math.nan), "NaN"),
        (TopK(density=0.5), 4, b"\0\0", "length"),
        (RandK(), 4, bytes(7), "seed"),
        (RandK(values="float32"), 4, bytes(8) + floats(math.inf), "infinity"),
    ],
)
def test_bytes_that_encoding_never_writes_are_refused(
    codec: Codec, size: int, data: bytes, complaint: str
) -> None:
    with pytest.raises(CodecError, match=complaint):
        codec.decode(data, size)


@pytest.mark.parametrize(
    ("mask", "complaint"), [(b"\x07", "3 indices"), (b"\x11", "behind"), (b"\x01", "1 indices")]
)
def test_top_k_refuses_wrong_masks(mask: bytes, complaint: str) -> None:
    frame = compress(mask)
    data = len(frame).to_bytes(4, "little") + frame + floats(1.0, 2.0)
    with pytest.raises(CodecError, match=complaint):
        TopK(density=0.5, values="float32").decode(data, 4)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("003c0042" + "01" + "00" + "00", None),
        ("0042003c" + "01" + "00" + "00", "above the upper"),
        ("003c007c" + "01" + "00" + "00", "infinite"),
        ("0080003c" + "01" + "00" + "00", "negative"),
        ("003c0042" + "05" + "00" + "00", "no value has"),
        ("003c0042" + "00" + "00" + "00", "no value has"),
        ("003c003c" + "01" + "00" + "00", "no value has"),
        ("0000003c" + "09" + "00" + "00", "negative 0"),
        ("003c0042" + "11" + "00" + "00", "behind the last value"),
        ("003c0042" + "01" + "00" + "20", "behind the last gap"),
        ("003c0042" + "01" + "08" + "00", "tail"),
        ("003c0042" + "01" + "0000" + "00", "bytes"),
        ("003c0042" + "01" + "e0" + "40", "outside its chunk"),
        ("003c0042" + "01" + "ff" + "00", "tail"),
        ("003c0042" + "01" + "c0" + "80", "behind the end"),
        ("003c0042", "magnitudes and signs"),
    ],
)
def test_sparse_refuses_what_encoding_never_writes(data: str, complaint: str | None) -> None:
    # One chunk of 8, of which 6 are there, keeps 2.
    codec = Sparse(chunk=8, kept=2, exponent=0)
    if complaint is None:
        assert codec.encode(codec.decode(bytes.fromhex(data), 6)).hex() == data
        return
    with pytest.raises(CodecError, match=complaint):
        codec.decode(bytes.fromhex(data), 6)


def test_raw_indices_out_of_order_are_refused() -> None:
    data = Raw12(4096, 2).encode(np.array([[5, 5]]))
    with pytest.raises(CodecError, match="ascend"):
        Raw12(4096, 2).decode("", memoryview(data), 1)
    data = Raw12(100, 2).encode(np.array([[5, 100]]))
    with pytest.raises(CodecError, match="outside"):
        Raw12(100, 2).decode("", memoryview(data), 1)


@pytest.mark.parametrize(
    ("name", "constants", "field"),
    [
        ("int8", {"block": 0}, "codec.block"),
        ("int4", {"block": 3}, "codec.block"),
        ("sign", {"block": 1.5}, "codec.block"),
        ("uniform", {"step_rms": 0.0}, "codec.step_rms"),
        ("uniform", {"step_rms": math.nan}, "codec.step_rms"),
        ("top-k", {"density": 0}, "codec.density"),
        ("top-k", {"density": 1.1}, "codec.density"),
        ("top-k", {"density": True}, "codec.density"),
        ("rand-k", {"values": "sign"}, "codec.values"),
        ("sparse", {"kept": 5000}, "codec.kept"),
        ("sparse", {"chunk": 1 << 21}, "codec.chunk"),
        ("sparse", {"exponent": 41}, "codec.exponent"),
        ("sparse", {"index": "raw12", "kept": 63}, "codec.index"),
        ("sparse", {"index": "raw12", "chunk": 8192}, "codec.index"),
    ],
)
def test_constants_out_of_range_are_named(
    name: str, constants: dict[str, object], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        create_codec(name, **constants)
    assert caught.value.field == field


@pytest.mark.parametrize("codec", [Int8(block=1 << 60), Int4(block=1 << 60), Sign(block=1 << 60)])
def test_a_block_larger_than_the_vector_costs_no_memory(codec: Codec) -> None:
    vector = make_vector(9)
    decoded = codec.decode(codec.encode(vector), 9)
    assert bool(((decoded - vector).abs() <= codec.error_max(vector)).all())


# ------------------------------------------------------------------------- how many bytes

N = 76_038  # LoRA of rank 8 on a small encoder, with its head


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (Float32(), 4 * N),
        (Int8(), N + 2 * math.ceil(N / 256)),
        (Int8(block=64), N + 2 * math.ceil(N / 64)),
        (Sign(), math.ceil(N / 8) + 2 * math.ceil(N / 256)),
        (RandK(values="float32"), 8 + 4 * math.ceil(N / 10)),
        (Sparse(index="raw12"), 19 * (4 + 64 * 14 // 8)),
    ],
    ids=repr,
)
def test_sizes_are_those_of_the_formulas(codec: Codec, expected: int) -> None:
    assert len(codec.encode(make_vector(N))) == expected == codec.encoded_bytes_max(N)


@pytest.mark.parametrize("density", [0.1, 0.01, 0.001])
def test_top_k_indices_take_what_elias_and_fano_say(density: float) -> None:
    codec = TopK(density=density, values="float32")
    count = math.ceil(N * density)
    index_bytes = len(codec.encode(make_vector(N))) - 4 * count
    assert index_bytes <= math.ceil(count * (math.log2(N / count) + 2) / 8) + 2
    entropy = -(density * math.log2(density) + (1 - density) * math.log2(1 - density)) * N
    assert index_bytes >= entropy / 8 * 0.99


@pytest.mark.parametrize(
    ("codec", "bits"),
    [
        (BFloat16(), 10.95),
        (Int4(), 3.85),
        (Uniform(step_rms=0.25), 4.2),
        (Uniform(), 3.15),
        (Uniform(step_rms=1.0), 2.2),
        (Uniform(step_rms=2.0), 1.4),
        (Sign(), 1.07),
        (TopK(density=0.25), 1.75),
        (TopK(), 0.95),
        (TopK(density=0.01), 0.13),
        (RandK(), 1.6),
    ],
    ids=repr,
)
def test_gaussian_values_take_at_most_so_many_bits(codec: Codec, bits: float) -> None:
    assert len(codec.encode(make_vector(N))) * 8 / N <= bits


def test_sparse_takes_ten_bits_per_kept_value() -> None:
    size = 100 * 4096
    bits = len(Sparse().encode(make_vector(size))) * 8 / (100 * 64)
    # No code of 64 places of 4096 takes less than 7.364 bits for each, beside 2 + 0.5 of values.
    assert 7.364 + 2.5 <= bits <= 10.05


def test_incompressible_values_stay_below_the_bound() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 255, 256, 257, 1000, 100_000):
        words = generator.integers(0, 0x7F00, size, dtype=np.uint32) << 16
        vector = torch.from_numpy(words.view(np.float32))
        assert len(BFloat16().encode(vector)) <= BFloat16().encoded_bytes_max(size)


def test_zeros_and_repetitions_are_compressed() -> None:
    zeros = torch.zeros(100_000)
    assert len(BFloat16().encode(zeros)) < 100
    assert len(Uniform().encode(zeros)) < 100
    mostly_zeros = zeros.clone()
    mostly_zeros[::100] = make_vector(1000)
    assert len(BFloat16().encode(mostly_zeros)) < 12_000
