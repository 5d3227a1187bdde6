"""Self-centered clipping: the fewest rows, and the ends of its radius."""

import math

import pytest
import torch

import robust

VECTORS = torch.tensor([[1.0], [2.0], [5.0]])


def test_one_honest_row_is_enough() -> None:
    rule = robust.create("self-centered-clipping", byzantine_count=2)
    # All others may lie; the third longest distance is that of own, 0.
    assert rule(VECTORS, own=VECTORS[0]).tolist() == [1.0]
    with pytest.raises(robust.InfeasibleError, match="needs 3 rows, got 2"):
        rule(VECTORS[:2], own=VECTORS[0])


@pytest.mark.parametrize(("radius", "result"), [(0.0, 1.0), (1.0, 5 / 3), (math.inf, 8 / 3)])
def test_radius_goes_from_own_to_the_mean(radius: float, result: float) -> None:
    rule = robust.create("self-centered-clipping", byzantine_count=1, radius=radius)
    assert rule(VECTORS, own=VECTORS[0]).tolist() == pytest.approx([result])
