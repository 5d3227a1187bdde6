"""How far the models of a world are apart."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from operator import add

from torch import Tensor

from p2pfed.learn.ledger_bench import LedgerBench
from p2pfed.learn.workbench import Workbench
from sim.benches import Bench


def consensus_distance(benches: Iterable[Bench | None]) -> float | None:
    """Return the mean squared distance of peers' vectors from their mean.

    Args:
        benches: Of the peers; None for one that has not started yet.

    Returns:
        None without a bench that has a vector, as stubs have none.
    """
    benches = list(benches)
    return distance([vector_sum(benches)], lambda mean: square_sum(benches, mean))


def distance(
    sums: Iterable[tuple[Tensor | None, int]], square_sum_of: Callable[[Tensor], float]
) -> float | None:
    """Return the mean squared distance of vectors from their mean; None without any.

    Args:
        sums: Of some vectors each, and how many they are; see `vector_sum`.
        square_sum_of: Returns the sum of all squared distances from a mean; see `square_sum`.
    """
    found = [(total, count) for total, count in sums if total is not None]
    if not found:
        return None
    count = sum(count for _, count in found)
    return square_sum_of(reduce(add, (total for total, _ in found)) / count) / count


def vector_sum(benches: Iterable[Bench | None]) -> tuple[Tensor | None, int]:
    """Return the sum of peers' vectors, float64, or None without any; and how many there are."""
    total: Tensor | None = None
    count = 0
    for vector in _vectors(benches):  # one at a time: no second copy of all models
        total = vector if total is None else total + vector
        count += 1
    return total, count


def square_sum(benches: Iterable[Bench | None], mean: Tensor) -> float:
    """Return the sum of the squared distances of peers' vectors from a mean."""
    return sum(float((vector - mean).square().sum()) for vector in _vectors(benches))


def _vectors(benches: Iterable[Bench | None]) -> Iterator[Tensor]:
    for bench in benches:
        if isinstance(bench, Workbench | LedgerBench):
            yield bench.learner.vector().cpu().double()
