"""Ledgers and logs for the tests of this folder."""

from collections.abc import Iterable

import numpy as np

from p2pfed.identity import PeerId
from p2pfed.updates.log import Writer
from p2pfed.updates.seed_ledger.ledger import SeedLedger
from p2pfed.updates.seed_ledger.operation import Operation
from p2pfed.updates.seed_ledger.terms import Terms
from p2pfed.updates.seed_ledger.varints import Integers

TERMS = Terms(run_id=bytes(32), size=150, direction_count=64, coefficient_max=1_000, budget=5_000)

Entry = tuple[Writer, int, Operation]


def writer(number: int, incarnation: int = 7) -> Writer:
    return Writer(PeerId(bytes([number]) * 32), incarnation)


def sparse(values: dict[int, int]) -> Integers:
    coefficients = np.zeros(TERMS.direction_count, dtype=np.int64)
    coefficients[list(values)] = list(values.values())
    return coefficients


def write(who: Writer, count: int, *, seed: int = 0, epochs: int = 2) -> list[Entry]:
    """Make the first operations of a log, of a few steps each."""
    generator, ledger, entries = np.random.default_rng(seed), SeedLedger(TERMS), []
    for sequence in range(1, count + 1):
        coefficients = np.zeros(TERMS.direction_count, dtype=np.int64)
        coefficients[generator.integers(0, 64, 5)] = generator.integers(-400, 401, 5)
        made = ledger.next_operation(who, int(generator.integers(epochs)), 5, coefficients)
        ledger.apply(who, sequence, made)
        entries.append((who, sequence, made))
    return entries


def told(entries: Iterable[Entry]) -> SeedLedger:
    ledger = SeedLedger(TERMS)
    for who, sequence, made in entries:
        ledger.apply(who, sequence, made)
    return ledger
