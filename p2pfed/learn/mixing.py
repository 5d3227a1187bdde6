"""Mixing weights: how much a peer means each neighbor's row to count, before any rule."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, final

from p2pfed.errors import SchemaError
from p2pfed.values import Value

_EXAMPLES: Final = "examples"
_DEGREE: Final = "degree"

_CAP_MEDIANS: Final = 2.0  # guess: honest peers of one run rarely hold more, a liar gains no more


@final
class Claim(Value):
    """What a peer says of itself; nothing checks it, so no weight may hang on it without a bound.

    Attributes:
        examples: Private training examples.
        degree: Neighbors.
    """

    examples: int
    degree: int

    def to_section(self) -> dict[str, int | float | bool]:
        """Return the claims of a payload."""
        return {_EXAMPLES: self.examples, _DEGREE: self.degree}

    @classmethod
    def from_section(cls, claims: Mapping[str, int | float | bool]) -> "Claim":
        """Read the claims of a payload; others than these two are left to newer versions.

        Raises:
            SchemaError: If one is missing, or no count.
        """
        examples, degree = claims.get(_EXAMPLES), claims.get(_DEGREE)
        if type(examples) is not int or type(degree) is not int or min(examples, degree) < 0:
            raise SchemaError(f"claims: examples {examples!r} and degree {degree!r} are no counts")
        return cls(examples=examples, degree=degree)


def metropolis(own: Claim, others: Sequence[Claim]) -> list[float]:
    """Weigh each neighbor 1 / (1 + the larger of both degrees); the rest is the own row's.

    All peers together then keep the mean of their vectors. A liar gets at most 1 / (1 + own
    degree), whatever it claims.

    Source: Xiao and Boyd 2004, "Fast linear iterations for distributed averaging", sec. 4
    (Metropolis-Hastings weights, in the form of Xiao, Boyd, Lall 2005).
    Differs: where more rows are at hand than neighbors are connected, their number is the degree,
        so that something is left for the own row.
    """
    degree = max(own.degree, len(others))
    return [1.0 / (1.0 + max(degree, other.degree)) for other in others]


def lazy(own: Claim, others: Sequence[Claim]) -> list[float]:
    """Weigh each neighbor half of what `metropolis` does: the own row keeps more than half.

    The matrix of all weights has no negative eigenvalue then, so that no difference between peers
    changes its sign from round to round. Where none was negative, they agree half as fast.

    Source: Levin, Peres and Wilmer 2009, "Markov chains and mixing times", section 1.3 (lazy
    version of a chain).
    Differs: nothing.
    """
    return [weight / 2.0 for weight in metropolis(own, others)]


def max_degree(own: Claim, others: Sequence[Claim], *, degree_max: int) -> list[float]:
    """Weigh each neighbor 1 / (1 + `degree_max`), whatever it claims; the rest is the own row's.

    All peers together keep the mean of their vectors if they name the same number and nobody has
    more neighbors.

    Args:
        own: What this peer would say of itself.
        others: What the neighbors say of themselves.
        degree_max: The most neighbors that any peer has, at least 1. Who has more counts those.

    Source: Xiao, Boyd and Kim 2007, "Distributed average consensus with least-mean-square
    deviation" (maximum-degree weights).
    Differs: one more than the largest degree, so that something is left for the own row.
    """
    return [1.0 / (1.0 + max(degree_max, own.degree, len(others)))] * len(others)


def uniform(own: Claim, others: Sequence[Claim]) -> list[float]:  # noqa: ARG001 - as the others
    """Weigh all rows alike, the own one included."""
    return [1.0 / (1.0 + len(others))] * len(others)


def by_examples(own: Claim, others: Sequence[Claim]) -> list[float]:
    """Weigh rows by the examples behind them, none by more than twice the median claim.

    Source: McMahan et al. 2017, "Communication-efficient learning of deep networks from
    decentralized data", alg. 1 (weights n_k / n).
    Differs: capped, because the counts are self-reported.
    """
    claims = [own.examples, *(other.examples for other in others)]
    cap = _CAP_MEDIANS * statistics.median(claims)
    capped = [min(float(claim), cap) for claim in claims]
    total = sum(capped)
    if total == 0.0:
        return uniform(own, others)
    return [value / total for value in capped[1:]]


# What a peer can reckon by itself. The fastest weights need the whole graph: they are in
# `topologies` alone, and in rounds.
MIXINGS: Final[Mapping[str, Callable[[Claim, Sequence[Claim]], list[float]]]] = {
    "examples": by_examples,
    "lazy": lazy,
    "metropolis": metropolis,
    "uniform": uniform,
}

MAX_DEGREE: Final = "max-degree"  # beside those above: it needs a number that all peers know

# Rules by which a row's weight says how much it counts; all others give each row one vote. Of the
# pre-aggregations, those that keep rows apart.
WEIGHING_RULES: Final = frozenset(
    {"foolsgold", "mean", "norm-clipping", "rank-vote", "reputation", "self-centered-clipping"}
)
_APART: Final = frozenset({"arc", "clipping"})


def row_weights(
    mixing: str,
    own: Claim,
    others: Sequence[Claim],
    importances: Sequence[float],
    *,
    degree_max: int = 1,
) -> list[float]:
    """Return how much each neighbor's row is to count; the rest to 1 is the own row's.

    Where some count more than their mixing weight, the own row keeps the share that it has where
    every neighbor's row is there. Neighbors whose rows are not are taken to weigh what the others
    do on average, and all together at most what they do among equals.

    Args:
        mixing: A name of `MIXINGS`, or `MAX_DEGREE`.
        own: What this peer would say of itself.
        others: What the neighbors say of themselves.
        importances: How many times its mixing weight each counts, above 0.
        degree_max: For `MAX_DEGREE`, which see.
    """
    weigh = partial(max_degree, degree_max=degree_max) if mixing == MAX_DEGREE else MIXINGS[mixing]
    mixed = weigh(own, others)
    weights = [weight * it for weight, it in zip(mixed, importances, strict=True)]
    degree = max(own.degree, len(others))
    if max(importances, default=1.0) <= 1.0:
        return weights
    total = math.fsum(weights)
    total_max = degree * min(1.0 / (1.0 + degree), math.fsum(mixed) / len(mixed))
    if total <= total_max:
        return weights
    return [weight * (total_max / total) for weight in weights]


def is_weighing(rule: str) -> bool:
    """Tell whether a rule, named as `robust.create` takes it, counts rows by their weights."""
    *before, last = rule.split("+")
    return last in WEIGHING_RULES and _APART.issuperset(before)
