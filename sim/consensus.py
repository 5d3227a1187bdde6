"""How far the models of a world are apart."""

from collections.abc import Iterable

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
    learners = [it.learner for it in benches if isinstance(it, Workbench | LedgerBench)]
    if not learners:
        return None
    mean: Tensor | None = None
    for learner in learners:  # one vector at a time: no second copy of all models
        vector = learner.vector().cpu().double()
        mean = vector if mean is None else mean + vector
    assert mean is not None
    mean = mean / len(learners)
    squares = [
        float((learner.vector().cpu().double() - mean).square().sum()) for learner in learners
    ]
    return sum(squares) / len(squares)
