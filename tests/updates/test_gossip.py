"""What gossip on a ring ends in: the average of the changes, where what travels is linear."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from p2pfed.updates.method import AdaptedModel, Method
from p2pfed.updates.methods import FedSb, FfaLora, Lora
from tests.updates.tiny import make_model

PEERS = 4
INPUTS = torch.eye(6)


def change(adapted: AdaptedModel, vector: Tensor) -> Tensor:
    """What a vector makes the query layer add, as a matrix: its outputs for unit inputs."""
    adapted.load_vector(vector)
    modules = dict(adapted.model.named_modules())
    (query,) = (it for name, it in modules.items() if name.endswith("encoder.query"))
    with torch.no_grad():
        found: Tensor = query(INPUTS) - make_model().encoder.query(INPUTS)
    return found


def gossip(vectors: Tensor, steps: int) -> Tensor:
    """Mix each peer's vector with those of its two neighbors, a third each."""
    for _ in range(steps):
        vectors = (vectors + vectors.roll(1, dims=0) + vectors.roll(-1, dims=0)) / 3.0
    return vectors


def largest_error(method: Method) -> float:
    adapted = method.adapt(make_model(), seed=3)
    generator = torch.Generator().manual_seed(0)
    moves = 0.1 * torch.randn(PEERS, adapted.specification.size, generator=generator)
    vectors = adapted.vector() + moves
    wanted = torch.stack([change(adapted, vector) for vector in vectors]).mean(dim=0)
    ends = [change(adapted, vector) for vector in gossip(vectors, 60)]
    return max(float((end - wanted).abs().max()) for end in ends)


@pytest.mark.parametrize("make", [FfaLora, FedSb])
def test_linear_methods_end_in_the_average_of_the_changes(make: Callable[..., Method]) -> None:
    assert largest_error(make(rank=3)) < 1e-6


def test_averaged_factors_end_elsewhere() -> None:
    assert largest_error(Lora(rank=3)) > 1e-3
