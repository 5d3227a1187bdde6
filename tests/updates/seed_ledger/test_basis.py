"""srht-rad-v1: golden bytes, a second implementation by its definition, and what it promises."""

import hashlib
from hashlib import blake2b

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from p2pfed.errors import LocalError
from p2pfed.updates.seed_ledger.basis import Basis, epoch_key, magnitude_sum

GOLDEN = "cc4d4d31db629225d4c12fba956fa95223425224d063fff5b180427f5791f02b"
WORD = 2**64 - 1

keys = st.integers(0, WORD)


def draw(count: int, most: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-most, most + 1, (count,), generator=generator)


def mix64(key: int, counter: int) -> int:
    z = (counter * 0x9E3779B97F4A7C15 + key) & WORD
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & WORD
    return z ^ z >> 31


def sign(key: int, index: int) -> int:
    return 1 - 2 * (mix64(key, index // 64) >> index % 64 & 1)


def direction_by_definition(key: int, count: int, size: int, k: int) -> list[int]:
    values = []
    for j in range(size):
        block, i = divmod(j, count)
        s_key, d_key = mix64(key, 2 * block), mix64(key, 2 * block + 1)
        parity = 1 - 2 * ((i & k).bit_count() & 1)
        values.append(sign(d_key, i) * parity * sign(s_key, k))
    return values


def test_golden_bytes() -> None:
    coefficients = torch.arange(1_024, dtype=torch.int32) - 512
    decoded = Basis(key=5, direction_count=1_024, size=4_096).decode(coefficients)
    assert decoded.dtype == torch.int32
    assert hashlib.sha256(decoded.numpy().astype("<i4").tobytes()).hexdigest() == GOLDEN


@pytest.mark.parametrize("key", [0, 5, 2**63, WORD])
def test_directions_are_as_defined(key: int) -> None:
    basis = Basis(key=key, direction_count=64, size=64 * 3 + 10)
    for k in (0, 1, 37, 63):
        expected = direction_by_definition(key, 64, basis.size, k)
        assert basis.direction(k).tolist() == expected


def test_decoded_is_the_sum_by_definition() -> None:
    basis = Basis(key=2**64 - 59, direction_count=64, size=192)
    coefficients = draw(64, 1_000)
    expected = [0] * 192
    for k, coefficient in enumerate(coefficients.tolist()):
        for j, value in enumerate(direction_by_definition(basis.key, 64, 192, k)):
            expected[j] += coefficient * value
    assert basis.decode(coefficients.int()).tolist() == expected
    assert basis.decode(coefficients).tolist() == expected


@settings(max_examples=20)
@given(keys, st.sampled_from([64, 128, 1_024]), st.integers(1, 4), st.integers(0, 99))
def test_encode_undoes_decode(key: int, count: int, blocks: int, seed: int) -> None:
    basis = Basis(key=key, direction_count=count, size=count * blocks)
    coefficients = draw(count, 10**5, seed)
    assert torch.equal(basis.encode(basis.decode(coefficients)), coefficients.double())


def test_encode_is_the_orthogonal_projection() -> None:
    basis = Basis(key=7, direction_count=64, size=640)
    vector = torch.randn(640, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coordinates = basis.encode(vector)
    projected = sum(c * basis.direction(k).double() for k, c in enumerate(coordinates.tolist()))
    rest = vector - projected
    products = torch.stack([basis.direction(k).double() @ rest for k in range(64)])
    assert float(products.abs().max()) < 1e-9
    assert float(rest.square().sum() / vector.square().sum()) == pytest.approx(0.9, abs=0.05)


@settings(max_examples=20)
@given(keys, st.integers(0, 1_023), st.integers(0, 1_023))
def test_directions_are_orthogonal_signs(key: int, first: int, second: int) -> None:
    basis = Basis(key=key, direction_count=1_024, size=2_048)
    a, b = basis.direction(first), basis.direction(second)
    assert bool((a.abs() == 1.0).all())
    assert float(a @ b) == (2_048.0 if first == second else 0.0)


def test_a_direction_is_its_unit_vector_decoded() -> None:
    basis = Basis(key=5, direction_count=1_024, size=3_000)
    unit = torch.zeros(1_024, dtype=torch.int32)
    unit[9] = 1
    assert torch.equal(basis.direction(9), basis.decode(unit)[:3_000].float())


def test_blocks_are_there_alone_and_over_borders_of_chunks() -> None:
    basis = Basis(key=5, direction_count=64, size=64 * 5_000 - 1)
    assert len(list(basis.chunks())) > 1
    coefficients = draw(64, 100).int()
    whole = basis.decode(coefficients)
    for blocks in (range(0, 1), range(4_095, 4_098), range(4_999, 5_000), range(7, 7)):
        part = whole[blocks.start * 64 : blocks.stop * 64]
        assert torch.equal(basis.decode(coefficients, blocks), part)


@pytest.mark.parametrize("blocks", [range(0, 6), range(3, 2), range(0, 4, 2)])
def test_blocks_that_are_not_there_are_refused(blocks: range) -> None:
    with pytest.raises(LocalError, match="has 5"):
        Basis(key=5, direction_count=64, size=300).decode(draw(64, 5), blocks)


def test_sums_up_to_the_last_one_that_fits_are_exact() -> None:
    basis = Basis(key=5, direction_count=64, size=64)
    coefficients = draw(64, 10**6)
    coefficients[0] = 0
    coefficients[0] = 2**31 - 1 - magnitude_sum(coefficients)
    assert torch.equal(basis.decode(coefficients.int()).long(), basis.decode(coefficients))
    coefficients[0] += 1
    assert int(coefficients.abs().max()) < 2**31
    with pytest.raises(LocalError, match="sum to 2147483648"):
        basis.decode(coefficients.int())


@pytest.mark.parametrize("largest", [2**53, 2**62, -(2**63)])
def test_sums_that_float64_does_not_hold_are_refused(largest: int) -> None:
    coefficients = torch.zeros(64, dtype=torch.int64)
    coefficients[:3] = largest
    with pytest.raises(LocalError, match=f"sum to {3 * abs(largest)}"):
        Basis(key=5, direction_count=64, size=64).decode(coefficients)


@pytest.mark.parametrize("coefficients", [torch.zeros(63).int(), torch.zeros(64)])
def test_only_k_integers_are_decoded(coefficients: Tensor) -> None:
    with pytest.raises(LocalError, match=r"expected \(64,\)"):
        Basis(key=5, direction_count=64, size=64).decode(coefficients)


def test_other_shapes_and_directions_are_refused() -> None:
    basis = Basis(key=5, direction_count=64, size=64)
    with pytest.raises(LocalError, match=r"expected \(64,\)"):
        basis.encode(torch.zeros(65))
    for k in (-1, 64):
        with pytest.raises(LocalError, match="there are 64"):
            basis.direction(k)


def test_epochs_have_keys_of_their_own() -> None:
    expected = blake2b(b"run" + b"basis" + bytes([1, 0, 0, 0, 0, 0, 0, 0])).digest()[:8]
    assert epoch_key(b"run", 1) == int.from_bytes(expected, "little")
    assert len({epoch_key(b"run", epoch) for epoch in range(100)}) == 100
    assert epoch_key(b"other", 1) != epoch_key(b"run", 1)
