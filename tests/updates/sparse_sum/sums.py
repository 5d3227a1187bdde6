"""Sparse sums and logs for the tests of this folder."""

from collections.abc import Iterable

import torch
from torch import Tensor

from p2pfed.identity import PeerId
from p2pfed.updates.codecs import Sparse
from p2pfed.updates.log import Writer
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.operation import Operation
from p2pfed.updates.sparse_sum.terms import Terms

TERMS = Terms(size=300, peer_count=4, budget=8.0, codec=Sparse(chunk=64, kept=4))
START = torch.randn(TERMS.size, generator=torch.Generator().manual_seed(0))

Entry = tuple[Writer, int, Operation]


def writer(number: int, incarnation: int = 7) -> Writer:
    return Writer(PeerId(bytes([number]) * 32), incarnation)


def noise(seed: int, scale: float = 0.1) -> Tensor:
    return torch.randn(TERMS.size, generator=torch.Generator().manual_seed(seed)) * scale


def write(who: Writer, count: int, *, seed: int = 0, scale: float = 0.1) -> list[Entry]:
    """Make the first operations of a log."""
    ledger, entries = SparseSum(TERMS), []
    for sequence in range(1, count + 1):
        data = TERMS.codec.encode(noise(1_000 * seed + sequence, scale))
        made = ledger.next_operation(who, data)
        ledger.apply(who, sequence, made)
        entries.append((who, sequence, made))
    return entries


def told(entries: Iterable[Entry]) -> SparseSum:
    ledger = SparseSum(TERMS)
    for who, sequence, made in entries:
        ledger.apply(who, sequence, made)
    return ledger


def weight_bytes(ledger: SparseSum) -> bytes:
    return ledger.materialize(START).numpy().tobytes()
