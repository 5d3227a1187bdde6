"""Sixteen peers without a server learn what they would with one."""

import pytest
import torch

from tests.updates.sparse_sum.sums import writer
from tests.updates.sparse_sum.toy import Toy, central, flood, mixed_on_a_ring

pytestmark = pytest.mark.slow


def test_a_flood_of_sparse_updates_is_sparseloco_with_a_server() -> None:
    toy = Toy()
    models = flood(toy, writer)
    assert all(torch.equal(model, models[0]) for model in models)
    with_a_server = central(toy)
    assert float((models[0] - with_a_server).abs().max()) < 1e-5
    assert toy.loss(models[0]) < 0.5 * toy.loss(torch.zeros(len(models[0])))


def test_mixing_sparse_updates_with_neighbors_alone_falls_apart() -> None:
    toy = Toy()
    models = mixed_on_a_ring(toy)
    mean = torch.stack(models).mean(dim=0)
    worst = max(toy.loss(model) for model in models)
    assert max(float((model - mean).norm()) for model in models) > 0.3 * float(mean.norm())
    assert worst > 1.5 * toy.loss(central(toy))
