"""How much of Gaussian vectors each codec keeps: the figures that choose between them."""

import math

import pytest

from p2pfed.updates.codec import Codec
from p2pfed.updates.codecs import (
    BFloat16,
    Int4,
    Int8,
    RandK,
    Sign,
    Sparse,
    TopK,
    Uniform,
)
from tests.updates.codecs.cases import make_vector

SIZE = 76_038  # LoRA of rank 8 on a small encoder, with its head


def relative_error(codec: Codec, *, seed: int = 0, size: int = SIZE) -> float:
    vector = make_vector(size, seed=seed)
    decoded = codec.decode(codec.encode(vector), size)
    return float((decoded - vector).double().norm() / vector.double().norm())


@pytest.mark.parametrize(
    ("codec", "error"),
    [
        (BFloat16(), 0.0017),
        (Int8(), 0.0070),
        (Int8(block=64), 0.0060),
        (Int4(), 0.108),
        (Uniform(step_rms=0.25), 0.25 / math.sqrt(12)),
        (Uniform(), 0.5 / math.sqrt(12)),
        (Uniform(step_rms=1.0), 1 / math.sqrt(12)),
        (Uniform(step_rms=2.0), 0.575),
        (Sign(), 0.60),
    ],
    ids=repr,
)
def test_relative_error_of_gaussian_values(codec: Codec, error: float) -> None:
    assert relative_error(codec) == pytest.approx(error, rel=0.03)


@pytest.mark.parametrize(
    ("codec", "delta"),
    [
        (TopK(density=0.25, values="float32"), 0.73),
        (TopK(density=0.1, values="float32"), 0.44),
        (TopK(density=0.01, values="float32"), 0.086),
        (TopK(density=0.1, values="int4"), 0.44),
        (RandK(density=0.1), 0.10),
        (Sign(), 2 / math.pi),
        (Int4(), 0.988),
        (Sparse(), 0.12),
    ],
    ids=repr,
)
def test_share_of_energy_kept_of_gaussian_values(codec: Codec, delta: float) -> None:
    assert 1 - relative_error(codec) ** 2 == pytest.approx(delta, rel=0.05)
    assert 1 - relative_error(codec) ** 2 >= codec.contraction_min * 0.95


@pytest.mark.parametrize("density", [0.1, 0.3, 0.7])
def test_rand_k_keeps_its_share_on_average_over_seeds(density: float) -> None:
    codec = RandK(density=density, values="float32")
    # Each vector has its own seed.
    kept = [1 - relative_error(codec, seed=seed, size=500) ** 2 for seed in range(100)]
    assert sum(kept) / len(kept) == pytest.approx(density, rel=0.05)
    assert sum(kept) / len(kept) >= codec.contraction_min * 0.95
