"""Among liars only: which rules stay near own, and which go wherever the liars are."""

import pytest
import torch
from torch import Tensor

import robust
from robust import Integrator, Row

DIMENSION = 20
FAR = 1e4  # times the length of own


def draw(seed: int) -> Tensor:
    vector = torch.randn(DIMENSION, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm()


OWN = draw(0)
# What six liars, who are all neighbors, agree on.
LIES = {"aside": OWN + FAR * draw(1), "along": OWN * FAR, "away": OWN * -FAR}


def worse_when_far(vector: Tensor) -> list[float]:
    return [1.0 / (1.0 + float((vector - OWN).norm()))]


def always_as_good(vector: Tensor) -> list[float]:
    del vector
    return [0.5]


def furthest(integrator: Integrator) -> float:
    """Return how far from own the liars get it, in lengths of own."""
    distances = []
    for lie in LIES.values():
        rows = [Row(f"liar {index}", lie.clone()) for index in range(6)]
        distances.append(float((integrator.integrate(OWN, rows).vector - OWN).norm()))
    return max(distances)


@pytest.mark.parametrize(
    ("integrator", "bound"),
    [
        (Integrator("balance"), 0.3),
        (Integrator("fltrust"), 2.0),
        (Integrator("self-centered-clipping", params={"radius": 0.5}), 0.5),
        (Integrator("centered-clipping", params={"radius": 0.5}), 0.5),
        (Integrator("ubar", evaluate=worse_when_far), 0.0),
        (Integrator("bristle", evaluate=worse_when_far), 0.0),
    ],
    ids=lambda it: str(it.rule) if isinstance(it, Integrator) else "",
)
def test_rule_stays_near_own(integrator: Integrator, bound: float) -> None:
    assert furthest(integrator) <= bound + 1e-6


@pytest.mark.parametrize(
    "integrator",
    [
        Integrator("monna"),
        Integrator("reputation"),
        Integrator("self-centered-clipping"),
        Integrator("centered-clipping"),
        Integrator("ubar", evaluate=always_as_good),
        Integrator("bristle", evaluate=always_as_good),
        Integrator("bridge"),
        Integrator("trimmed-mean"),
        Integrator("nnm+trimmed-mean"),
    ],
    ids=lambda it: str(it.rule),
)
def test_rule_follows_them(integrator: Integrator) -> None:
    assert furthest(integrator) > 0.4 * FAR


def test_monna_averages_no_row_further_away_than_the_furthest_honest_one() -> None:
    honest = [OWN, OWN + 0.5 * draw(1), OWN + 0.9 * draw(2), OWN + 0.7 * draw(3)]
    rule = robust.create("monna", byzantine_count=2)
    for distance in (0.8, 1.0, FAR):
        vectors = torch.stack([*honest, OWN + distance * draw(4), OWN + distance * draw(5)])
        moved = float((rule(vectors, own=OWN) - OWN).norm())
        assert moved <= 0.9 * 3 / 4
