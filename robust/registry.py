"""All rules by name."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from inspect import Parameter, signature
from typing import Any, Final

from robust.errors import RuleError
from robust.parameters import check_parameters, shown
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

_NAME_MAX: Final = 80  # characters of a wrong name that are compared with others

# What may stand before a rule and a "+", to change the rows that the rule sees.
PRE_AGGREGATIONS: Final[Mapping[str, Callable[..., PreAggregation]]] = {
    "arc": AdaptiveRobustClipping,
    "bucketing": Bucketing,
    "clipping": Clipping,
    "nnm": NearestNeighborMixing,
}


def names() -> tuple[str, ...]:
    """List the names that `create` knows, sorted."""
    return tuple(sorted(RULES))


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
    return any(param in _parameters(part) for part in _parts(name))


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
    if base not in RULES:
        raise RuleError(f"unknown rule {shown(base)}; known: {_known(base, names())}")
    return [*(PRE_AGGREGATIONS[prefix] for prefix in prefixes), RULES[base]]


def _known(name: str, names: Sequence[str]) -> str:
    """Return what names there are, and which of them was probably meant."""
    near = get_close_matches(name[:_NAME_MAX].strip().lower(), names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{', '.join(names)}{meant}"


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
        complaint = f"unknown {unknown}" if unknown else f"missing {sorted(set(missing))}"
        known = sorted({it.name for it in accepted})
        raise RuleError(f"parameters of {name!r}: {complaint}; accepted: {known}")
