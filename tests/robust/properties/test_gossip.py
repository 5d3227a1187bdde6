"""What the mean does to honest peers round by round: they come together as their graph says."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import robust
import topologies

NETS: list[tuple[str, dict[str, Any]]] = [
    ("ring", {"nodes": 9}),
    ("line", {"nodes": 6}),
    ("star", {"nodes": 7}),
    ("k-regular", {"nodes": 12, "degree": 4}),
    ("complete", {"nodes": 5}),
]


def mix(rows: Tensor, weights: Tensor) -> Tensor:
    """Let every peer average what it hears, each by its own line of the mixing matrix."""
    mean = robust.create("mean")
    return torch.stack([mean(rows, weights=line) for line in weights])


def consensus_distance(rows: Tensor) -> float:
    return float((rows - rows.mean(dim=0)).square().sum(dim=1).mean())


@pytest.mark.parametrize(("name", "params"), NETS, ids=[name for name, _ in NETS])
def test_p17_each_round_contracts_by_the_square_of_one_minus_the_spectral_gap(
    name: str, params: dict[str, Any]
) -> None:
    net = topologies.create(name, **params)
    weights, factor = torch.from_numpy(net.mixing_matrix()), (1.0 - net.spectral_gap()) ** 2
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(len(net), 4, generator=generator, dtype=torch.float64)
    for _ in range(6):
        mixed = mix(rows, weights)
        assert consensus_distance(mixed) <= factor * consensus_distance(rows) + 1e-24
        torch.testing.assert_close(mixed.mean(dim=0), rows.mean(dim=0))
        rows = mixed


def test_p17_no_faster_contraction_is_promised() -> None:
    # Along the slowest direction of the ring a round contracts by that much and no more.
    net = topologies.create("ring", nodes=9)
    values, vectors = np.linalg.eigh(net.mixing_matrix())
    slowest = int(np.abs(values[:-1]).argmax())
    rows = torch.from_numpy(vectors[:, [slowest]])
    ratio = consensus_distance(mix(rows, torch.from_numpy(net.mixing_matrix())))
    ratio /= consensus_distance(rows)
    assert ratio == pytest.approx((1.0 - net.spectral_gap()) ** 2)
