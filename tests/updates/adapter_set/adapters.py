"""Increments and logs for the tests of this folder."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from p2pfed.identity import PeerId
from p2pfed.updates.adapter_set.compaction import make_compaction
from p2pfed.updates.adapter_set.increment import Increment, make_increment
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.operation import Operation
from p2pfed.updates.adapter_set.terms import Terms
from p2pfed.updates.log import Writer
from p2pfed.updates.stacking import LowRankChange

TERMS = Terms(run_id=bytes(32), shapes=((6, 5), (4, 7)), rank_max=8, open_max=3)
START = torch.randn(TERMS.size, generator=torch.Generator().manual_seed(1))

Entry = tuple[Writer, int, Operation]


def writer(number: int, incarnation: int = 7) -> Writer:
    return Writer(PeerId(bytes([number]) * 32), incarnation)


def change(layer: int, rank: int, seed: int, scale: float = 0.1) -> LowRankChange:
    rows, columns = TERMS.shapes[layer]
    generator = torch.Generator().manual_seed(seed)
    return LowRankChange(
        scale * torch.randn(rows, rank, generator=generator),
        torch.randn(rank, columns, generator=generator),
    )


def increment(
    seed: int, *, rank: int = 2, scale: float = 0.1, weight: float = 0.25, terms: Terms = TERMS
) -> Increment:
    changes = [change(0, rank, seed, scale), change(1, rank, seed + 1_000, scale)]
    return make_increment(changes, terms, epoch=seed, weight=weight)


def nothing(epoch: int = 0) -> Increment:
    return make_increment([None, None], TERMS, epoch=epoch)


def write(who: Writer, count: int, *, seed: int = 0, rank: int = 2) -> list[Entry]:
    """Make the first operations of a log; where it is full, one compacts it."""
    ledger, entries = AdapterSet(TERMS), []
    for sequence in range(1, count + 1):
        members = ledger.log(who).increments
        is_full = len(members) == TERMS.open_max
        compaction = make_compaction(members, TERMS, epoch=sequence) if is_full else None
        made = ledger.next_operation(who, increment(1_000 * seed + sequence, rank=rank), compaction)
        ledger.apply(who, sequence, made)
        entries.append((who, sequence, made))
    return entries


def told(entries: Iterable[Entry]) -> AdapterSet:
    ledger = AdapterSet(TERMS)
    for who, sequence, made in entries:
        ledger.apply(who, sequence, made)
    return ledger


def weight_bytes(ledger: AdapterSet) -> bytes:
    return ledger.materialize(START).numpy().tobytes()


def product(members: Sequence[Increment]) -> Tensor:
    """Add up what increments change, as the vector of all layers."""
    total = torch.zeros(TERMS.size, dtype=torch.float64)
    for each in members:
        parts = [each.product(layer, total.device) for layer in range(2)]
        sizes = [rows * columns for rows, columns in TERMS.shapes]
        total += torch.cat(
            [
                torch.zeros(size, dtype=torch.float64) if part is None else part.flatten()
                for part, size in zip(parts, sizes, strict=True)
            ]
        )
    return total
