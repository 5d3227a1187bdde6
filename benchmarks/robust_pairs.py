"""What `make bench-robust` measures: each rule, and the same computation in byzfl if it has one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

import robust
from benchmarks import byzfl_rules

ROW_COUNT = 20
BYZANTINE_COUNT = 4
DIMENSIONS = (100_000, 1_000_000, 10_000_000)
THREADS = (1, 2)  # with each of which the targets are wanted
RADIUS = 10.0  # shorter than every row; to clip one costs the same as not to
# byzfl takes a number of steps; from about this many on, its result no longer moves.
GEOMETRIC_MEDIAN_STEPS = 32
MEMORY_BYTES_MAX = 64_000_000

Call = Callable[[Tensor], object]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One row of the table.

    Attributes:
        name: As `robust.create` knows it.
        params: Parameters beside `byzantine_count`.
        byzfl: Makes the counterpart from the module; None if byzfl has none.
        byzfl_name: The counterpart in words.
        passes: Which floor bounds it: "once" (a sum of the rows), "twice" (each row read, and a
            sum) or "gram" (inner products of all rows, and a sum).
        speed_up_min: How many times as fast as byzfl it is wanted to be.
        wanted_at: At which dimension.
        is_compiled: Whether numba compiles its loops; if not, numba is hidden from it.
        reads_ranks: Whether its rows are ranks, int64, and not float32.
        dimension_max: The largest at which it is measured, and at which its memory is bounded.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    byzfl: Callable[[Any], Call] | None = None
    byzfl_name: str = ""
    passes: str = "gram"
    speed_up_min: float | None = None
    wanted_at: int = 10_000_000
    is_compiled: bool = False
    reads_ranks: bool = False
    dimension_max: int = DIMENSIONS[-1]

    @property
    def title(self) -> str:
        """What it is called in the table and in records, where a rule may be twice."""
        return f"{self.name}, compiled" if self.is_compiled else self.name

    def ours(self) -> Call:
        """Make our side; rules that start from an own vector start from the first row."""
        rule = robust.create(self.name, byzantine_count=BYZANTINE_COUNT, **self.params)
        return lambda vectors: rule(vectors, own=vectors[0])

    def theirs(self) -> Call:
        """Make byzfl's side."""
        assert self.byzfl is not None
        return self.byzfl(byzfl_rules.load())


def _twice(pair: Pair) -> tuple[Pair, Pair]:
    """Return it by torch alone, and compiled."""
    return pair, replace(pair, is_compiled=True)


def _scores(_vector: Tensor) -> list[float]:
    """Cost nothing: what is measured is the rule, and not the application's evaluation."""
    return [0.5, 0.5, 0.5, 0.5]


_F = BYZANTINE_COUNT
_MEAN_OF = "Average of "

PAIRS = (
    Pair(
        name="mean",
        byzfl=lambda b: b.Average(),
        byzfl_name="Average",
        passes="once",
        speed_up_min=1.0,
    ),
    *_twice(
        Pair(
            name="median",
            byzfl=lambda b: b.Median(),
            byzfl_name="Median",
            passes="once",
            speed_up_min=20.0,
        )
    ),
    *_twice(
        Pair(
            name="trimmed-mean",
            byzfl=lambda b: b.TrMean(_F),
            byzfl_name="TrMean",
            passes="once",
            speed_up_min=20.0,
        )
    ),
    Pair(
        name="mean-around-median",
        byzfl=lambda b: b.Meamed(_F),
        byzfl_name="Meamed",
        passes="once",
    ),
    Pair(name="krum", byzfl=lambda b: b.Krum(_F), byzfl_name="Krum", speed_up_min=12.0),
    Pair(
        name="multi-krum",
        byzfl=lambda b: b.MultiKrum(_F),
        byzfl_name="MultiKrum",
        speed_up_min=12.0,
    ),
    Pair(
        name="geometric-median",
        byzfl=lambda b: b.GeometricMedian(nu=0.1, T=GEOMETRIC_MEDIAN_STEPS),
        byzfl_name=f"GeometricMedian, T={GEOMETRIC_MEDIAN_STEPS}",
        speed_up_min=40.0,
    ),
    Pair(name="minimum-diameter", byzfl=lambda b: b.MDA(_F), byzfl_name="MDA"),
    Pair(name="caf", byzfl=lambda b: b.CAF(_F), byzfl_name="CAF"),
    Pair(
        name="centered-clipping",
        params={"radius": RADIUS},
        # A new one each time: it goes on from its last result.
        byzfl=lambda b: lambda x: b.CenteredClipping(L=1, tau=RADIUS)(x),
        byzfl_name="CenteredClipping, L=1",
        passes="twice",
        speed_up_min=2.0,
    ),
    Pair(name="monna", byzfl=lambda b: b.MoNNA(_F), byzfl_name="MoNNA", passes="twice"),
    Pair(
        name="nnm+mean",
        byzfl=lambda b: lambda x: b.Average()(b.NNM(_F)(x)),
        byzfl_name=f"{_MEAN_OF}NNM",
        speed_up_min=15.0,
        wanted_at=1_000_000,
    ),
    *_twice(
        Pair(
            name="nnm+trimmed-mean",
            byzfl=lambda b: lambda x: b.TrMean(_F)(b.NNM(_F)(x)),
            byzfl_name="TrMean of NNM",
        )
    ),
    Pair(
        name="bucketing+mean",
        params={"seed": 0},
        byzfl=lambda b: lambda x: b.Average()(b.Bucketing(2)(x)),
        byzfl_name=f"{_MEAN_OF}Bucketing",
        passes="once",
    ),
    Pair(
        name="clipping+mean",
        params={"radius": RADIUS},
        byzfl=lambda b: lambda x: b.Average()(b.Clipping(RADIUS)(x.clone())),
        byzfl_name=f"{_MEAN_OF}Clipping of a copy",
        passes="twice",
    ),
    Pair(
        name="arc+mean",
        byzfl=lambda b: lambda x: b.Average()(b.ARC(_F)(x.clone())),
        byzfl_name=f"{_MEAN_OF}ARC of a copy",
        passes="twice",
    ),
    Pair(name="self-centered-clipping", passes="twice"),
    Pair(name="norm-clipping", params={"radius": RADIUS}, passes="twice"),
    # With a radius that accepts all, and so reads all.
    Pair(name="balance", params={"radius_ratio": 2.0}, passes="twice"),
    Pair(name="bridge", passes="once"),
    Pair(name="fltrust"),
    Pair(name="foolsgold"),
    Pair(name="sign-majority", passes="once"),
    Pair(name="ubar", params={"evaluate": _scores}, passes="twice"),
    Pair(name="bristle", params={"evaluate": _scores}, passes="twice"),
    Pair(name="reputation"),
    # Of 1e7 edges, the result alone is 80 MB.
    Pair(name="rank-vote", reads_ranks=True, dimension_max=DIMENSIONS[-2]),
)
