"""Initial values: the same bits on every machine, for ever."""

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from p2pfed.updates.portable import initial_value, mix, stream_key, uniform_values
from p2pfed.updates.specification import ParameterEntry, little_endian

GOLDEN_UNIFORM = "6cb13c7746b0a3c8a85a61e86fbdd836e723e9847e11b8148d7fb77a89775ee7"
GOLDEN_MATRIX = "8989cd4f9ace2586229a043345f5e2dd39552590f1b639f9c91b22a9189ad0a1"

MASK = (1 << 64) - 1


def mix_by_hand(key: int, counter: int) -> int:
    z = (counter * 0x9E3779B97F4A7C15 + key) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_mix_is_splitmix64() -> None:
    # First outputs of the published generator for seed 0 (its state is advanced before use).
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix(0, np.array([1, 2, 3], dtype=np.uint64)).tolist() == known


def test_mix_equals_integers_of_any_size() -> None:
    counters = [0, 1, 2, 2**32 + 7, MASK]
    for key in (0, 1, 0xDEADBEEF, MASK):
        found = mix(key, np.array(counters, dtype=np.uint64)).tolist()
        assert found == [mix_by_hand(key, counter) for counter in counters]


def test_values_are_those_of_exact_arithmetic() -> None:
    bound = 0.3
    key = stream_key(5, "a.weight")
    values = uniform_values(5, "a.weight", count=1000, bound=bound)
    for index in range(1000):
        integer = mix_by_hand(key, index) >> 40
        assert float(values[index]) == float(np.float32((integer - 2**23) / 2**23 * bound))


def test_golden_values() -> None:
    values = uniform_values(0, "encoder.weight", count=4096, bound=1 / math.sqrt(384))
    digest = hashlib.sha256(little_endian(values)).hexdigest()
    assert digest == GOLDEN_UNIFORM
    matrix = value_of("head.weight", drawn(8, 384), seed=7)
    assert hashlib.sha256(little_endian(matrix)).hexdigest() == GOLDEN_MATRIX


def test_values_are_uniform_within_the_bound() -> None:
    values = uniform_values(1, "x", count=100_000, bound=2.0)
    assert float(values.abs().max()) <= 2.0
    assert abs(float(values.mean())) < 0.02
    assert abs(float(values.std()) - 2.0 / math.sqrt(3)) < 0.01


def test_seed_and_label_select_the_stream() -> None:
    streams = [
        tuple(uniform_values(seed, label, count=4, bound=1.0).tolist())
        for seed, label in ((0, "a"), (1, "a"), (0, "b"), (2**53 - 1, "a"))
    ]
    assert len(set(streams)) == 4


def value_of(name: str, given: Tensor, *, seed: int = 0) -> Tensor:
    return initial_value(ParameterEntry(name=name, shape=tuple(given.shape)), given, seed)


def test_drawn_weights_are_drawn_again() -> None:
    matrix = value_of("layer.weight", drawn(5, 16))
    kernel = value_of("conv.weight", drawn(4, 3, 3, 3))
    vector = value_of("attention.query", drawn(9))
    assert 0.2 < float(matrix.abs().max()) <= 1 / 4
    assert 0.15 < float(kernel.abs().max()) <= 1 / math.sqrt(27)
    assert 0.1 < float(vector.abs().max()) <= 1 / 3
    # What the factory drew makes no difference, not even to a single value.
    assert torch.equal(value_of("layer.weight", drawn(5, 16) + 1), matrix)
    assert float(value_of("layer.weight", torch.tensor([[0.7]]))) != 0.7


def test_drawn_biases_become_zero() -> None:
    for size in (1, 6):
        assert torch.equal(value_of("layer.bias", drawn(size)), torch.zeros(size))
        assert torch.equal(value_of("rnn.bias_ih_l0", drawn(size)), torch.zeros(size))


def test_constants_are_kept() -> None:
    for given in (torch.ones(6), torch.zeros(3, 4), torch.tensor(2.0), torch.full((3,), 1e-6)):
        assert torch.equal(value_of("norm.weight", given), given)
    assert torch.equal(value_of("gate.bias", torch.ones(4)), torch.ones(4))


def test_no_global_generator_is_touched() -> None:
    drawn_before = drawn(5, 16)
    before = torch.random.get_rng_state()
    value_of("layer.weight", drawn_before)
    assert torch.equal(torch.random.get_rng_state(), before)
