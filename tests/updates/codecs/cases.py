"""Codecs with the constants that tests look at, and vectors for them."""

import numpy as np
import torch
from torch import Tensor

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

# Those of `Sparse` reach up to 6e7, because the vectors of most tests do.
CODEC_OBJECTS: list[Codec] = [
    Float32(),
    BFloat16(),
    Int8(),
    Int8(block=1),
    Int8(block=7),
    Int4(),
    Int4(block=2),
    Uniform(),
    Uniform(step_rms=0.01),
    Uniform(step_rms=2.5),
    Sign(),
    Sign(block=3),
    TopK(),
    TopK(density=0.3, values="bfloat16"),
    TopK(density=1, values="float32"),
    RandK(),
    RandK(density=0.7, values="int8"),
    Sparse(chunk=64, kept=6, exponent=10),
    Sparse(chunk=64, kept=6, index="raw12", exponent=10),
    Sparse(exponent=10),
]


def make_vector(size: int, *, seed: int = 0, scale: float = 0.01) -> Tensor:
    values = np.random.default_rng(seed).normal(size=size) * scale
    return torch.from_numpy(values.astype(np.float32))
