"""What is known about every rule: how to make it, and which properties it has and lacks.

The suite in tests/robust/properties checks each rule against each property, both ways: where the
table says that a rule lacks one, some case must show it by its result; what it refuses to compute
shows nothing, and is declared by itself.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import robust
from robust.rule import Rule
from tests.robust_cases import DIMENSIONS, Case, make_case


class Property(Enum):
    """What a rule may or may not have; the value reads after "the result"."""

    MOVES = "moves with the origin"
    SCALES = "scales with the unit"
    TURNS = "turns with the axes"
    AGREES = "is what all agree on"
    EQUALS = "counts equal rows alike"
    AVERAGES = "is the mean where nobody lies"
    CONVEX = "is an average of the rows"
    BOX = "stays in the honest range of each coordinate"
    SURVIVES = "stays near the honest rows, however far f liars are"


ALL = frozenset(Property)
LINEAR = frozenset({Property.MOVES, Property.SCALES, Property.TURNS})


@dataclass(frozen=True, kw_only=True)
class Known:
    """One line of the table.

    Attributes:
        name: As `robust.create` takes it.
        has: The properties that it has; it must lack the others.
        refuses: Properties that it neither has nor lacks: it takes none of the rows that would show
            them.
        unstated: Properties that are neither claimed nor denied, each with the reason.
        params: Parameters beside `byzantine_count`.
        lengths: Those of `params` that are lengths, and change with the unit.
        takes_scores: Whether it asks the application how good a vector is.
        kappa: The constant of (f, kappa)-robustness for n and f; None if none is proven.
        kappa_seen: About the largest constant that the attacks tried here need among 20 rows, 4
            of them liars; of others, more may be needed.
        reach: How far from the honest mean f far liars may drag the result. By default three of
            the largest honest distances from that mean: one from it to own, and two from there to
            any honest row.
        rows_max: The most rows to try it with.
        dimensions: The lengths of rows to try it with.
        is_unique: Whether the result is defined by the rows even on a line; else distances there
            decide up to rounding.
        offset: Added to all entries, for rules that integrate only rows that have something in
            common.
    """

    name: str
    has: frozenset[Property]
    refuses: frozenset[Property] = frozenset()
    unstated: Mapping[Property, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    lengths: tuple[str, ...] = ()
    takes_scores: bool = False
    kappa: Callable[[int, int], float] | None = None
    kappa_seen: float | None = None
    reach: Callable[[Case], float] = lambda case: 3.0 * case.honest_radius
    rows_max: int = 25
    dimensions: Sequence[int] = DIMENSIONS
    offset: float = 0.0
    is_unique: bool = True

    def __hash__(self) -> int:
        return hash(self.name)

    def make(self, case: Case, **params: Any) -> Rule:
        """Make the rule for the liars, the unit and the held-out data of a case."""
        own = {
            key: value * case.unit if key in self.lengths else value
            for key, value in self.params.items()
        }
        if self.takes_scores:
            own["evaluate"] = case.score
        return robust.create(
            self.name, **({"byzantine_count": case.byzantine_count} | own | params)
        )

    def apply(self, case: Case, **params: Any) -> Tensor:
        """Run the rule on a case."""
        return self.make(case, **params)(case.vectors, own=case.own, keys=case.keys)

    def example(
        self,
        row_count: int,
        dimension: int,
        *,
        byzantine_count: int,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> Case:
        """Make a case for it."""
        return make_case(
            row_count,
            max(dimension, min(self.dimensions)),
            byzantine_count=byzantine_count,
            seed=seed,
            offset=self.offset,
            dtype=dtype,
        )

    def tolerance(self, row_count: int) -> int:
        """Return the largest minority of liars for which the rule runs."""
        return _tolerance(self, row_count)


@cache
def _tolerance(known: Known, row_count: int) -> int:
    for count in range((row_count - 1) // 2, 0, -1):
        try:
            known.apply(known.example(row_count, 17, byzantine_count=count))
        except robust.InfeasibleError:
            continue
        return count
    return 0


def assert_lacking(check: Callable[[Known, Case], None], known: Known) -> None:
    """Fail unless one of some small cases refutes what `check` checks, and none is refused."""
    for case in _small_cases(known):
        try:
            check(known, case)
        except AssertionError:
            return
    pytest.fail(f"no case refutes {check.__name__} for {known.name}")


def assert_refusing(check: Callable[[Known, Case], None], known: Known) -> None:
    """Fail unless the rule refuses what `check` checks in each of some small cases."""
    for case in _small_cases(known):
        with pytest.raises(robust.InfeasibleError):
            check(known, case)


def _small_cases(known: Known) -> Iterator[Case]:
    for seed in range(12):
        count = 5 + 2 * (seed % 3)
        liars = 1 + seed % known.tolerance(count)
        yield known.example(count, 1 + 2 * (seed % 2), byzantine_count=liars, seed=seed)


def having(prop: Property) -> list[Any]:
    """Return the rules of the table that have a property, as parameters of a test."""
    return [pytest.param(it, id=it.name) for it in TABLE if prop in it.has]


def lacking(prop: Property) -> list[Any]:
    """Return the rules that lack it."""
    return [
        pytest.param(it, id=it.name)
        for it in TABLE
        if prop not in it.has | it.refuses and prop not in it.unstated
    ]


def refusing(prop: Property) -> list[Any]:
    """Return the rules that take no rows that would show it."""
    return [pytest.param(it, id=it.name) for it in TABLE if prop in it.refuses]


def every() -> list[Any]:
    """Return all rules of the table."""
    return [pytest.param(it, id=it.name) for it in TABLE]


def _ratio(n: int, f: int) -> float:
    return f / (n - 2 * f)


# Allouah et al. 2023, "Fixing by mixing: a recipe for optimal Byzantine ML under heterogeneity",
# table 1 and, for mixing, lemma 1.
def _trimmed_mean_kappa(n: int, f: int) -> float:
    return 6 * _ratio(n, f) * (1 + _ratio(n, f))


def _krum_kappa(n: int, f: int) -> float:
    return 6 * (1 + _ratio(n, f))


def _median_kappa(n: int, f: int) -> float:
    return 4 * (1 + _ratio(n, f)) ** 2


def _mixed(kappa: Callable[[int, int], float]) -> Callable[[int, int], float]:
    return lambda n, f: 8 * f / (n - f) * (kappa(n, f) + 1)


def _longest(case: Case) -> float:
    """Bound what is nowhere longer than an honest row."""
    return 2.0 * case.longest_honest


P = Property
RADIUS = 1.5  # so that some of the drawn rows are clipped, and some are not
SEED = {"seed": 5}

# What the suite cannot try, and why.
LEFT_OUT = {"rank-vote": "reads ranks of int64, which have no place, unit or axes"}

TABLE = (
    Known(name="mean", has=LINEAR | {P.AGREES, P.EQUALS, P.AVERAGES, P.CONVEX}),
    Known(
        name="median",
        has=ALL - {P.TURNS, P.AVERAGES, P.CONVEX},
        kappa=_median_kappa,
        kappa_seen=0.25,
    ),
    Known(
        name="trimmed-mean",
        has=ALL - {P.TURNS, P.CONVEX},
        kappa=_trimmed_mean_kappa,
        kappa_seen=0.19,
    ),
    Known(name="mean-around-median", has=ALL - {P.TURNS, P.CONVEX, P.BOX}, kappa_seen=0.26),
    Known(name="krum", has=ALL - {P.EQUALS, P.AVERAGES, P.BOX}, kappa=_krum_kappa, kappa_seen=0.87),
    Known(name="multi-krum", has=ALL - {P.EQUALS, P.BOX}, kappa_seen=0.17),
    Known(
        name="geometric-median",
        is_unique=False,
        has=ALL - {P.AVERAGES, P.BOX},
        kappa=_median_kappa,
        kappa_seen=0.15,
    ),
    Known(name="minimum-diameter", has=ALL - {P.EQUALS, P.BOX}, kappa_seen=1.06, rows_max=15),
    Known(name="caf", has=ALL - {P.BOX}, kappa_seen=0.12),
    Known(
        name="centered-clipping",
        has=ALL - {P.AVERAGES, P.BOX},
        params={"radius": RADIUS},
        lengths=("radius",),
    ),
    Known(name="self-centered-clipping", has=ALL - {P.BOX}),
    Known(name="monna", has=ALL - {P.EQUALS, P.BOX}),
    Known(
        name="balance",
        has=ALL - {P.MOVES, P.AVERAGES, P.BOX},
        params={"radius_ratio": RADIUS},
        reach=lambda case: case.honest_radius + RADIUS * float(case.own.double().norm()),
    ),
    Known(
        name="ubar",
        has=ALL - {P.EQUALS, P.AVERAGES, P.BOX},
        unstated={
            P.BOX: "a liar has to do as well as own on own data, which few attacks do",
            P.EQUALS: "keys decide between copies at the edge of its neighbors, where few are",
        },
        takes_scores=True,
    ),
    Known(name="bridge", has=ALL - {P.TURNS, P.CONVEX}),
    Known(
        name="fltrust",
        has=ALL - {P.MOVES, P.AVERAGES, P.CONVEX, P.BOX},
        reach=_longest,
    ),
    Known(
        name="foolsgold",
        has=frozenset({P.EQUALS, P.SCALES, P.TURNS, P.CONVEX}),
        refuses=frozenset({P.AGREES}),  # rows that agree are all copies to it
        dimensions=(17, 257),
    ),
    Known(
        name="sign-majority",
        has=frozenset({P.EQUALS, P.SCALES, P.SURVIVES}),
        params={"step": 1.0},
        lengths=("step",),
        reach=lambda case: math.sqrt(case.dimension) + case.longest_honest,
    ),
    Known(
        name="norm-clipping",
        has=frozenset({P.EQUALS, P.SCALES, P.TURNS, P.AGREES, P.SURVIVES}),
        reach=_longest,
    ),
    Known(
        name="reputation",
        has=ALL - {P.MOVES, P.AVERAGES, P.BOX},
        offset=2.0,
        dimensions=(17, 257),
    ),
    Known(
        name="bristle",
        has=ALL - {P.MOVES, P.AVERAGES, P.BOX},
        unstated={P.MOVES: "rows above the norm cap are left out, and few good rows are that long"},
        takes_scores=True,
    ),
    # Behind pre-aggregations.
    Known(name="nnm+mean", has=LINEAR | {P.AGREES, P.EQUALS, P.AVERAGES, P.CONVEX}),
    Known(
        name="nnm+trimmed-mean",
        has=ALL - {P.TURNS, P.CONVEX, P.BOX},
        kappa=_mixed(_trimmed_mean_kappa),
        kappa_seen=0.10,
    ),
    Known(name="nnm+median", has=ALL - {P.TURNS, P.CONVEX, P.BOX}, kappa=_mixed(_median_kappa)),
    Known(name="nnm+krum", has=ALL - {P.BOX}, kappa=_mixed(_krum_kappa)),
    Known(
        name="nnm+geometric-median",
        has=ALL - {P.BOX},
        kappa=_mixed(_median_kappa),
        is_unique=False,
    ),
    Known(name="nnm+self-centered-clipping", has=ALL - {P.BOX}),
    Known(
        name="bucketing+median", has=ALL - {P.EQUALS, P.TURNS, P.CONVEX, P.AVERAGES}, params=SEED
    ),
    Known(
        name="bucketing+geometric-median",
        has=ALL - {P.EQUALS, P.AVERAGES, P.BOX},
        unstated={P.BOX: "it bears few liars, and few of them seldom drag it out"},
        params=SEED,
        is_unique=False,
    ),
    Known(
        name="arc+trimmed-mean",
        has=frozenset({P.EQUALS, P.SCALES, P.AGREES, P.AVERAGES, P.SURVIVES}),
        unstated={P.BOX: "shortened honest rows may leave it, which trimming mostly hides"},
        reach=_longest,
    ),
    Known(
        name="arc+multi-krum",
        has=frozenset({P.SCALES, P.TURNS, P.AGREES, P.AVERAGES, P.SURVIVES}),
        reach=_longest,
    ),
    Known(
        name="clipping+mean",
        has=frozenset({P.EQUALS, P.SCALES, P.TURNS, P.SURVIVES}),
        params={"radius": RADIUS},
        lengths=("radius",),
        reach=lambda case: RADIUS + case.longest_honest,
    ),
    Known(
        name="clipping+nnm+trimmed-mean",
        has=frozenset({P.EQUALS, P.SCALES, P.SURVIVES}),
        params={"radius": RADIUS},
        lengths=("radius",),
        reach=lambda case: RADIUS + case.longest_honest,
    ),
)
