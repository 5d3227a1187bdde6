"""Operations: golden bytes, one encoding each, sizes, and that no bytes do harm."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pfed.errors import CodecError, ConfigError, RemoteError
from p2pfed.identity import Identity
from p2pfed.messages import UpdateHeader, UpdateKind
from p2pfed.updates.seed_ledger import varints
from p2pfed.updates.seed_ledger.operation import Operation, bytes_max, decode, encode
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers
from p2pfed.wire.headers import encode_header

TERMS = Terms(
    run_id=bytes(32), size=1_000, direction_count=64, coefficient_max=100_000, epoch_count=2**16
)
DIGEST = bytes(range(32))

coefficient_lists = st.lists(
    st.one_of(st.just(0), st.integers(-100_000, 100_000)), min_size=64, max_size=64
)


def make(values: dict[int, int] | Integers, *, epoch: int = 0, steps: int = 50) -> Operation:
    if isinstance(values, dict):
        coefficients = np.zeros(64, dtype=np.int64)
        coefficients[list(values)] = list(values.values())
        values = coefficients
    return Operation(epoch=epoch, step_count=steps, coefficients=values, digest=DIGEST)


def phase_of(step_count: int, direction_count: int, bits: int) -> Integers:
    """Make coefficients as a local phase does: random directions, about normal values."""
    generator = np.random.default_rng(0)
    coefficients = np.zeros(direction_count, dtype=np.int64)
    for k in generator.integers(0, direction_count, step_count):
        coefficients[k] += round(generator.normal() * 2 ** (bits - 1))
    return coefficients


def test_golden_bytes_of_a_sparse_operation() -> None:
    data = encode(make({0: 1, 1: -1, 63: 300}, epoch=130, steps=50))
    head = "00" + "8201" + "32" + DIGEST.hex()
    assert data.hex() == head + "03" + "0002" + "0001" + "3d" + "d804"


def test_golden_bytes_of_a_dense_operation() -> None:
    data = encode(make(np.arange(64) - 32, steps=1))
    numbers = [2 * c if c >= 0 else -2 * c - 1 for c in range(-32, 32)]
    assert data.hex() == "01" + "00" + "01" + DIGEST.hex() + bytes(numbers).hex()


def test_the_shorter_form_is_taken_and_sparse_if_both_are_equal() -> None:
    # Sparse: 1 byte for the count and 2 for each; dense: 64.
    assert encode(make(dict.fromkeys(range(31), 1)))[0] == 0
    assert encode(make(dict.fromkeys(range(32), 1)))[0] == 1
    of_65_directions = np.zeros(65, dtype=np.int64)
    of_65_directions[:31] = 1
    of_65_directions[31] = 300  # sparse: 1 + 31 * 2 + 3 bytes; dense: 64 + 2
    assert encode(make(of_65_directions))[0] == 0


@settings(max_examples=30)
@given(coefficient_lists, st.integers(0, 2**16 - 1), st.integers(1, 2**32 - 1))
def test_round_trip(values: list[int], epoch: int, steps: int) -> None:
    operation = make(np.array(values), epoch=epoch, steps=steps)
    data = encode(operation)
    assert len(data) <= bytes_max(TERMS)
    decoded = decode(memoryview(data), TERMS)
    assert type(decoded.digest) is bytes
    assert decoded.coefficients.tolist() == values
    assert decoded.coefficients.dtype == np.int64
    assert (decoded.epoch, decoded.step_count, decoded.digest) == (epoch, steps, DIGEST)


def bytes_around() -> int:
    """Return what header, signature and sections of an update take."""
    header = UpdateHeader(
        run_id=bytes(32),
        author=Identity(bytes(32)).peer,
        incarnation=2**64 - 1,
        sequence=1_000,
        previous=DIGEST,
        kind=UpdateKind.OPERATION,
        base=0,
        round=1_000,
        gossip_step=1,
        method="seeds",
        codec="varint",
        payload_bytes=1_000,
        payload_hash=bytes(32),
    )
    return len(encode_header(header)) + 64 + 17


@pytest.mark.parametrize(
    ("steps", "direction_count", "payload_bytes", "update_bytes"),
    [(50, 1_024, 180, 440), (50, 4_096, 200, 460), (200, 1_024, 600, 860)],
)
def test_operations_are_small(
    steps: int, direction_count: int, payload_bytes: int, update_bytes: int
) -> None:
    data = encode(make(phase_of(steps, direction_count, bits=12), steps=steps))
    assert len(data) <= payload_bytes
    assert len(data) + bytes_around() <= update_bytes


REFUSED = [
    ("", "neither form"),
    ("02" + "0001" + DIGEST.hex() + "00", "neither form"),
    ("00" + "0001" + DIGEST.hex()[2:], "numbers where"),
    ("00" + "0000" + DIGEST.hex() + "00", "0 steps"),
    ("00" + "80800401" + DIGEST.hex() + "00", "in epoch 65536"),
    ("00" + "80000001" + DIGEST.hex() + "00", "longer than it need be"),
    ("00" + "80808080808001" + DIGEST.hex() + "00", "more than 5 bytes"),
    ("00" + "0001" + DIGEST.hex() + "0000", "one encoding"),  # a byte after the end
    ("00" + "0001" + DIGEST.hex() + "01" + "0000", "one encoding"),  # a coefficient of zero
    ("00" + "0001" + DIGEST.hex() + "01" + "4002", "direction 64 of 64"),
    ("00" + "0001" + DIGEST.hex() + "02" + "3f02" + "0002", "direction 64 of 64"),
    ("00" + "0001" + DIGEST.hex() + "41" + "0002" * 65, "65 coefficients of 64"),
    ("00" + "0001" + DIGEST.hex() + "02" + "0002", "2 numbers where 4"),
    ("00" + "0001" + DIGEST.hex() + "01" + "00" + "c29a0c", "a coefficient of 100001"),
    ("00" + "0001" + DIGEST.hex() + "40" + "0002" * 64, "one encoding"),  # dense is shorter
    ("01" + "0001" + DIGEST.hex() + "02" * 63, "63 numbers where 64"),
    ("01" + "0001" + DIGEST.hex() + "02" + "00" * 63, "one encoding"),  # sparse is shorter
]


@pytest.mark.parametrize(("data", "complaint"), REFUSED)
def test_other_bytes_are_refused(data: str, complaint: str) -> None:
    with pytest.raises(CodecError, match=complaint):
        decode(bytes.fromhex(data), TERMS)


def test_the_largest_coefficients_take_the_most_bytes() -> None:
    largest = make(np.full(64, -100_000), epoch=2**16 - 1, steps=2**32 - 1)
    assert len(encode(largest)) == bytes_max(TERMS)
    with pytest.raises(CodecError, match="at most"):
        decode(encode(largest) + b"0", TERMS)


def mutate(data: bytes, rng: random.Random) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        mutated[rng.randrange(len(mutated))] = rng.randrange(256)
    cut = rng.choice([len(mutated), len(mutated), rng.randrange(len(mutated) + 1)])
    return bytes(mutated[:cut]) + rng.choice([b"", b"", rng.randbytes(3)])


def check_mutations(count: int, seed: int) -> int:
    rng, refused = random.Random(seed), 0
    originals = [
        encode(make(phase_of(10, 64, bits=12))),
        encode(make(phase_of(200, 64, bits=10))),
        encode(make({}, epoch=2**16 - 1)),
    ]
    for _ in range(count):
        data = mutate(rng.choice(originals), rng)
        try:
            operation = decode(data, TERMS)
        except RemoteError:
            refused += 1
        else:
            assert encode(operation) == data
            assert int(np.abs(operation.coefficients).max()) <= TERMS.coefficient_max
    return refused


def test_mutated_bytes_decode_or_raise_remote_error() -> None:
    assert check_mutations(1_000, seed=0) > 300


@pytest.mark.nightly
def test_many_mutated_bytes_decode_or_raise_remote_error() -> None:
    assert check_mutations(100_000, seed=1) > 30_000


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_remote_error(data: bytes) -> None:
    try:
        operation = decode(data, TERMS)
    except RemoteError:
        return
    assert encode(operation) == data


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**33), 2**33), max_size=50))
def test_varints_round_trip(numbers: list[int]) -> None:
    data = varints.pack(varints.zigzag(np.array(numbers, dtype=np.int64)))
    found, end = varints.unpack(b"xyz" + data + b"tail", 3, len(numbers))
    assert varints.unzigzag(found).tolist() == numbers
    assert end == 3 + len(data)


@pytest.mark.parametrize(
    ("constants", "complaint"),
    [
        ({"direction_count": 100}, "direction_count = 100: write a power of two"),
        ({"direction_count": 32}, "direction_count = 32: write a power of two, 64 to 16384"),
        ({"direction_count": 2**15}, "direction_count = 32768"),
        ({"direction_count": 1_024}, "at most the 1000 parameters"),
        ({"epoch_count": 2**16 + 1}, "epoch_count = 65537: write at most 65536"),
        (
            {"epoch_count": 4_097, "budget": 2**28 - 1},
            "epoch_count = 4097: write at most 4096, or a lower budget",
        ),
        ({"fraction_bits": 65}, "fraction_bits = 65: write at most 64"),
        ({"fraction_bits": 2.0}, "fraction_bits = 2.0"),
        ({"budget": 2**29}, r"budget = 536870912: write less than 2\^31 / sqrt\(64\)"),
        ({"coefficient_max": 2**23}, "coefficient_max = 8388608: write at most the budget"),
        ({"coefficient_max": 0}, "coefficient_max = 0"),
    ],
)
def test_terms_out_of_range_are_refused(constants: dict[str, int], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Terms(**{"run_id": bytes(32), "size": 1_000, "direction_count": 64, **constants})


def test_a_thousand_authors_who_spend_all_can_still_be_summed() -> None:
    budget = 2**28 - 1
    terms = Terms(run_id=bytes(32), size=64, direction_count=64, epoch_count=4_096, budget=budget)
    assert 1_024 * terms.epoch_count * math.isqrt(64) * budget < 2**53
