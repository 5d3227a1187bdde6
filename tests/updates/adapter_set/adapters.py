"""Increments for the tests of this folder."""

import torch
from torch import Tensor

from p2pfed.updates.adapter_set.adapters import AdapterSet
from p2pfed.updates.adapter_set.increment import Increment, make_increment
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.stacking import LowRankChange

TERMS = Terms(run_id=bytes(32), shapes=((6, 5), (4, 7)), rank_max=8)
START = [torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), torch.ones(4, 7)]


def change(layer: int, rank: int, seed: int, scale: float = 0.1) -> LowRankChange:
    rows, columns = TERMS.shapes[layer]
    generator = torch.Generator().manual_seed(seed)
    return LowRankChange(
        scale * torch.randn(rows, rank, generator=generator),
        torch.randn(rank, columns, generator=generator),
    )


def increment(seed: int, *, rank: int = 2, scale: float = 0.1) -> Increment:
    changes = [change(0, rank, seed, scale), change(1, rank, seed + 1_000, scale)]
    return make_increment(changes, TERMS, epoch=seed, weight=0.25)


def told(*increments: Increment) -> AdapterSet:
    adapters = AdapterSet(TERMS)
    for each in increments:
        adapters.add(each)
    return adapters


def weight_bytes(adapters: AdapterSet) -> bytes:
    return b"".join(each.numpy().tobytes() for each in adapters.materialize(START))


def moved(adapters: AdapterSet) -> Tensor:
    pairs = zip(adapters.materialize(START), START, strict=True)
    return torch.cat([(after - before).flatten() for after, before in pairs])
