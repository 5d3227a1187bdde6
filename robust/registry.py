"""All rules by name."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import Any, Final

from robust.errors import RuleError
from robust.function_rule import FunctionRuleMaker
from robust.parameters import check_parameters, meant, shown
from robust.pre_aggregation.arc import AdaptiveRobustClipping
from robust.pre_aggregation.bucketing import Bucketing
from robust.pre_aggregation.clipping import Clipping
from robust.pre_aggregation.nearest_neighbor_mixing import NearestNeighborMixing
from robust.pre_aggregation.step import PreAggregated, PreAggregation
from robust.rule import Rule
from robust.rules.averaging import Mean
from robust.rules.balance import Balance
from robust.rules.bridge import Bridge
from robust.rules.bristle import Bristle
from robust.rules.centered_clipping import CenteredClipping
from robust.rules.coordinate_wise import Median, TrimmedMean
from robust.rules.covariance_filter import CovarianceFilter
from robust.rules.fltrust import FLTrust
from robust.rules.foolsgold import FoolsGold
from robust.rules.geometric_median import GeometricMedian
from robust.rules.krum import Krum, MultiKrum
from robust.rules.mean_around_median import MeanAroundMedian
from robust.rules.minimum_diameter import MinimumDiameter
from robust.rules.monna import Monna
from robust.rules.norm_clipping import NormClipping
from robust.rules.rank_vote import RankVote
from robust.rules.reputation import Reputation
from robust.rules.self_centered_clipping import SelfCenteredClipping
from robust.rules.sign_majority import SignMajority
from robust.rules.ubar import Ubar

RULES: Final[Mapping[str, Callable[..., Rule]]] = {
    "balance": Balance,
    "bridge": Bridge,
    "bristle": Bristle,
    "caf": CovarianceFilter,
    "centered-clipping": CenteredClipping,
    "fltrust": FLTrust,
    "foolsgold": FoolsGold,
    "geometric-median": GeometricMedian,
    "krum": Krum,
    "mean": Mean,
    "mean-around-median": MeanAroundMedian,
    "median": Median,
    "minimum-diameter": MinimumDiameter,
    "monna": Monna,
    "multi-krum": MultiKrum,
    "norm-clipping": NormClipping,
    "rank-vote": RankVote,
    "reputation": Reputation,
    "self-centered-clipping": SelfCenteredClipping,
    "sign-majority": SignMajority,
    "trimmed-mean": TrimmedMean,
    "ubar": Ubar,
}

# What may stand before a rule and a "+", to change the rows that the rule sees.
PRE_AGGREGATIONS: Final[Mapping[str, Callable[..., PreAggregation]]] = {
    "arc": AdaptiveRobustClipping,
    "bucketing": Bucketing,
    "clipping": Clipping,
    "nnm": NearestNeighborMixing,
}

# Functions of the program's own, by the names that it gave them; nothing in here fills it.
_REGISTERED: Final[dict[str, FunctionRuleMaker]] = {}
_OWN_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")


def names() -> tuple[str, ...]:
    """List the names that `create` knows, sorted; registered ones among them."""
    return tuple(sorted([*RULES, *_REGISTERED]))


def register(name: str, combine: Callable[..., object]) -> None:
    """Give a function of one's own a name that `create`, an `Integrator` and run files know.

    Args:
        name: Small letters, digits and hyphens, beginning with a letter; none of `names()`.
        combine: Is called as `combine(vectors, ...)` with the rows, the own one among them, shape
            (n, d), n >= 1, float32 or float64, finite, and by name with what else it has
            parameters for: `own`, the own row once more, shape (d,); `byzantine_count`, how many
            rows may be lies; `seed`, `progress` and `evaluate`, which an `Integrator` gives; and
            whatever is its own, as text, a number or true or false. Parameters with a default may
            be left out. Its tensors are copies, and there are no gradients.

            It returns the vector, shape (d,), floating point. What the rows count for cannot be
            seen from a vector: verdicts then say the same weight, 1 / n, of all rows, whatever
            the function did with them, and a note says that they are not known. A function that
            knows better returns (vector, weights): n numbers >= 0 that sum to at most 1. It may
            raise `InfeasibleError`, as where rows are too few, and NaN or infinity in its vector
            do the same: the own vector is kept.

    Raises:
        RuleError: If the name is taken or no name, or the function cannot be called like this. A
            function of the same module and name replaces its earlier definition.
    """
    given: object = name
    if not isinstance(given, str) or not _OWN_NAME.fullmatch(given):
        fix = "write small letters, digits and hyphens, such as 'my-rule'"
        raise RuleError(f"rule {shown(name)} cannot be a name; {fix}")
    known = _REGISTERED.get(name)
    is_same = known is not None and known.is_newer_of(combine)
    if not is_same and (name in PRE_AGGREGATIONS or name in names()):
        raise RuleError(f"rule {name!r} is there already; choose another name")
    _REGISTERED[name] = FunctionRuleMaker(name, combine)


def pre_aggregation_names() -> tuple[str, ...]:
    """List what may stand before a rule and a "+", sorted."""
    return tuple(sorted(PRE_AGGREGATIONS))


def create(name: str, **params: Any) -> Rule:
    """Make a rule.

    Args:
        name: One of `names()`, behind any number of names of `pre_aggregation_names()`, each
            followed by a "+": "nnm+trimmed-mean".
        params: The parameters, `byzantine_count` among them; each part takes those that it has,
            and its class documents them.

    Returns:
        The rule.

    Raises:
        RuleError: If the name or a parameter is unknown, missing, of another type or out of range.
            The message lists what there is.
    """
    parts = _parts(name)
    _check_params(name, parts, params)
    *steps, rule = (_make(part, params) for part in parts)
    return PreAggregated(tuple(steps), rule) if steps else rule


def accepts(name: str, param: str) -> bool:
    """Tell whether a rule, or a pre-aggregation before it, has a parameter.

    Args:
        name: A name that `create` knows.
        param: The parameter's name.

    Raises:
        RuleError: If a part of the name is unknown.
    """
    return param in parameters(name)


def parameters(name: str) -> list[str]:
    """Return the names of all parameters of a rule, and of a pre-aggregation before it.

    Args:
        name: A name that `create` knows.

    Raises:
        RuleError: If a part of the name is unknown.
    """
    return sorted({param for part in _parts(name) for param in _parameters(part)})


def _make(part: Callable[..., Any], params: Mapping[str, Any]) -> Any:
    own = {key: params[key] for key in _parameters(part) if key in params}
    check_parameters(part, own)
    return part(**own)


def _parts(name: str) -> list[Callable[..., Any]]:
    given: object = name
    if not isinstance(given, str):
        raise RuleError(f"rule {shown(given)} is not a name; known: {', '.join(names())}")
    *prefixes, base = name.split("+")
    if prefixes and not all((*prefixes, base)):
        fix = "write names with one + between two, and a rule at the end: 'nnm+trimmed-mean'"
        raise RuleError(f"rule {shown(name)} has an empty part; {fix}")
    for prefix in prefixes:
        if prefix not in PRE_AGGREGATIONS:
            known = _known(prefix, sorted(PRE_AGGREGATIONS))
            raise RuleError(
                f"unknown pre-aggregation {shown(prefix)} in {shown(name)}; known: {known}"
            )
    if base in PRE_AGGREGATIONS:
        raise RuleError(f"{name!r} ends with a pre-aggregation; add a rule: '{name}+trimmed-mean'")
    rule = RULES.get(base) or _REGISTERED.get(base)
    if rule is None:
        raise RuleError(f"unknown rule {shown(base)}; known: {_known(base, names())}")
    return [*(PRE_AGGREGATIONS[prefix] for prefix in prefixes), rule]


def _known(name: str, names: Sequence[str]) -> str:
    """Return what names there are, and which of them was probably meant."""
    return f"{', '.join(names)}{meant(name, names)}"


@cache  # an integrator makes its rule anew each round, and inspecting takes as long as integrating
def _parameters(part: Callable[..., Any]) -> Mapping[str, Parameter]:
    return signature(part).parameters


def _check_params(
    name: str, parts: Sequence[Callable[..., Any]], params: Mapping[str, Any]
) -> None:
    accepted = [it for part in parts for it in _parameters(part).values()]
    unknown = sorted(set(params) - {it.name for it in accepted})
    missing = [it.name for it in accepted if it.default is it.empty and it.name not in params]
    if unknown or missing:
        known = sorted({it.name for it in accepted})
        complaint = f"unknown {unknown}" if unknown else f"missing {sorted(set(missing))}"
        hint = meant(unknown[0], known) if unknown else _how_to_give(missing)
        raise RuleError(f"parameters of {name!r}: {complaint}{hint}; accepted: {known}")


def _how_to_give(missing: Sequence[str]) -> str:
    """Return how to give what an `Integrator` has an argument of its own for."""
    if "evaluate" not in missing:
        return ""
    return "; give evaluate=, a function that scores a vector on own held-out data"
