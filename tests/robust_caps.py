"""What part a row with a cap gets in the results of each rule, in caps."""

import torch
from torch import Tensor

import robust
from robust import Integrator, Row

NEIGHBORS = 6
# Those that an Integrator can use: votes on ranks need other inputs.
RULES = [name for name in robust.names() if name != "rank-vote"]
# What a capped row's part in the result is at most, in caps, where n rows weigh alike.
LIARS = 2  # f of n = 7
ROWS = NEIGHBORS + 1
KEPT = ROWS / (ROWS - LIARS)
MIDDLE = ROWS / (ROWS - 2 * LIARS)
EXACT = ("mean", "norm-clipping", "centered-clipping", "self-centered-clipping")
AVERAGING = (
    "mean-around-median",
    "minimum-diameter",
    "monna",
    "multi-krum",
    "nnm+trimmed-mean",
    "nnm+median",
    "nnm+krum",
    "nnm+geometric-median",
    "nnm+self-centered-clipping",
)
TRIMMING = ("trimmed-mean", "bridge")


def score(vector: Tensor) -> list[float]:
    del vector
    return [0.5]


def largest_part(rule: str) -> float:
    """Return the largest part that a row with a cap has in some results, in caps."""
    integrator, found = Integrator(rule, evaluate=score, norm_cap_ratio=None, seed=1), 0.0
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        own = torch.ones(6)
        rows = [own + torch.randn(6, generator=generator) for _ in range(NEIGHBORS)]
        if seed % 3 == 1:
            rows[0] = own.clone()
        elif seed % 3 == 2:
            rows[:3] = [own + 0.3] * 3
        capped = 3 if seed % 3 == 2 else 1
        cap = (0.02, 0.05)[seed % 2]
        sent = [Row(f"peer {index}", row) for index, row in enumerate(rows)]
        caps = {row.peer: cap for row in sent[:capped]}
        verdicts = integrator.integrate(own, sent, mass_caps=caps).verdicts
        found = max(found, *(it.weight / cap for it in verdicts[:capped]))
    return found
