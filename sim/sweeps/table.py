"""What came out of a sweep: a row for each setting, over its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final

from p2pfed.plain_json import finite
from sim.run_folder import FinishedRun

# What a result is summed up by; `bytes_per_peer` is the mean over honest peers.
MEASURES: Final = (
    "mean_accuracy",
    "worst_accuracy",
    "tested",
    "hostile_weight_mass",
    "finished",
    "failed",
    "virtual_s",
    "bytes_per_peer",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A number over several seeds.

    Attributes:
        mean: Their mean.
        deviation: Standard deviation of the sample, None of a single one.
        least: The smallest.
        largest: The largest.
        count: How many there are.
    """

    mean: float
    deviation: float | None
    least: float
    largest: float
    count: int


def measures_of(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers that results are compared by; None for what is no number.

    Args:
        result: As `Result.to_json` wrote it.
    """
    sent = [
        count
        for peer, count in zip(result["peers"], result["bytes_sent"], strict=True)
        if peer["hostile"] is None
    ]
    numbers = {**result["metrics"], "bytes_per_peer": fmean(sent) if sent else None}
    # Earlier versions wrote NaN, and fewer metrics.
    return {name: finite(numbers.get(name)) for name in MEASURES}


def spreads(runs: Sequence[FinishedRun]) -> dict[str, Spread | None]:
    """Return each measure over some runs; None for one that no run has."""
    found = [measures_of(run.result) for run in runs]
    return {name: spread([it[name] for it in found]) for name in MEASURES}


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return the spread of the values that are there; None without any."""
    there = [float(it) for it in values if it is not None]
    if not there:
        return None
    return Spread(
        mean=fmean(there),
        deviation=stdev(there) if len(there) > 1 else None,
        least=min(there),
        largest=max(there),
        count=len(there),
    )
