"""One small ledger of every kind, and logs of some writers in it, for tests that all share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from p2pfed.identity import PeerId
from p2pfed.updates.adapter_set.compaction import make_compaction
from p2pfed.updates.adapter_set.increment import make_increment
from p2pfed.updates.adapter_set.ledger import AdapterSet
from p2pfed.updates.adapter_set.terms import Terms as AdapterTerms
from p2pfed.updates.author_logs import AuthorLogs
from p2pfed.updates.codecs import Sparse
from p2pfed.updates.log import Operation, Writer
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.projection import Projector
from p2pfed.updates.seed_ledger.terms import Terms as SeedTerms
from p2pfed.updates.sparse_sum.ledger import SparseSum
from p2pfed.updates.sparse_sum.terms import Terms as SparseTerms
from p2pfed.updates.stacking import closest

LENGTH: Final = 6  # of each log

SEED_TERMS: Final = SeedTerms(
    run_id=bytes(32), size=150, direction_count=64, coefficient_max=1_000, budget=9_000
)
SPARSE_TERMS: Final = SparseTerms(
    size=300, peer_count=4, budget=8.0, codec=Sparse(chunk=64, kept=4)
)
ADAPTER_TERMS: Final = AdapterTerms(run_id=bytes(32), shapes=((6, 5), (4, 7)), open_max=2)

Ledger = AuthorLogs[Any, Any, Any]
Entry = tuple[Writer, int, bytes]


def writer(number: int, incarnation: int = 7) -> Writer:
    return Writer(PeerId(bytes([number]) * 32), incarnation)


WRITERS: Final = (writer(1), writer(2), writer(1, incarnation=8))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of ledger, as one method uses it.

    Attributes:
        empty: Makes a ledger of its terms.
        make: Makes some next operation of a writer; other seeds make other ones.
        logs: Of each writer, its operations as bytes.
    """

    empty: Callable[[], Ledger]
    make: Callable[[Any, Writer, int], Operation]
    logs: dict[Writer, list[Entry]] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        """Return the operations of all writers."""
        return [entry for log in self.written().values() for entry in log]

    def written(self) -> Mapping[Writer, list[Entry]]:
        """Return the logs, which are written when they are first needed."""
        if not self.logs:
            for number, who in enumerate(WRITERS):
                self.logs[who] = self.write(who, self.empty(), seed=100 * number)
        return self.logs

    def write(self, who: Writer, ledger: Ledger, *, seed: int) -> list[Entry]:
        """Let a writer go on from what is in a ledger until its log is long enough."""
        entries = []
        for sequence in range(ledger.sequence(who) + 1, LENGTH + 1):
            made = self.make(ledger, who, seed + sequence)
            ledger.apply(who, sequence, made)
            entries.append((who, sequence, ledger.encode(made)))
        return entries

    def told(self, entries: Iterable[Entry], ledger: Ledger | None = None) -> Ledger:
        """Tell a ledger, a new one if None, of operations in some order."""
        told = self.empty() if ledger is None else ledger
        for who, sequence, data in entries:
            told.apply(who, sequence, told.decode(data))
        return told

    def weight_bytes(self, ledger: Ledger) -> bytes:
        """Return the model's bits."""
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(ledger.terms.size, generator=generator)
        return ledger.materialize(start).numpy().tobytes()


def _noise(size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def _by_losses(ledger: SeedLedger, who: Writer, seed: int) -> Operation:
    generator = np.random.default_rng(seed)
    coefficients = np.zeros(64, dtype=np.int64)
    coefficients[generator.integers(0, 64, 5)] = generator.integers(-400, 401, 5)
    return ledger.next_operation(who, int(generator.integers(2)), 5, coefficients)


def _by_projection(ledger: SeedLedger, who: Writer, seed: int) -> Operation:
    difference = _noise(150, seed) * 1e-5
    coefficients = Projector(ledger.terms).project(difference, epoch=seed % 3)
    return ledger.next_operation(who, seed % 3, 5, coefficients)


def _by_largest_values(ledger: SparseSum, who: Writer, seed: int) -> Operation:
    return ledger.next_operation(who, ledger.terms.codec.encode(_noise(300, seed) * 0.5))


def _by_low_rank_changes(ledger: AdapterSet, who: Writer, seed: int) -> Operation:
    terms, members = ledger.terms, ledger.log(who).increments
    is_full = len(members) == terms.open_max
    compaction = make_compaction(members, terms, epoch=seed) if is_full else None
    changes = [
        closest(_noise(rows * columns, seed).view(rows, columns), 1 + seed % 3)
        for rows, columns in terms.shapes
    ]
    return ledger.next_operation(
        who, make_increment(changes, terms, epoch=seed, weight=0.25), compaction
    )


KINDS: Final[Mapping[str, Kind]] = {
    "seeds": Kind(empty=lambda: SeedLedger(SEED_TERMS), make=_by_losses),
    "projected": Kind(empty=lambda: SeedLedger(SEED_TERMS), make=_by_projection),
    "sparse-sum": Kind(empty=lambda: SparseSum(SPARSE_TERMS), make=_by_largest_values),
    "adapter-set": Kind(empty=lambda: AdapterSet(ADAPTER_TERMS), make=_by_low_rank_changes),
}
