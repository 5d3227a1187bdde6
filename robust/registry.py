"""All rules by name."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, Final

from robust.averaging import Mean
from robust.coordinate_wise import Median, TrimmedMean
from robust.errors import RuleError
from robust.rule import Rule
from robust.self_centered_clipping import SelfCenteredClipping

RULES: Final[Mapping[str, Callable[..., Rule]]] = {
    "mean": Mean,
    "median": Median,
    "self-centered-clipping": SelfCenteredClipping,
    "trimmed-mean": TrimmedMean,
}

# What may stand before a rule and a "+", to change the rows that the rule sees.
PRE_AGGREGATIONS: Final[Mapping[str, Callable[..., Rule]]] = {}


def names() -> tuple[str, ...]:
    """List the names that `create` knows, sorted."""
    return tuple(sorted(RULES))


def create(name: str, **params: Any) -> Rule:
    """Make a rule.

    Args:
        name: One of `names()`.
        params: The rule's parameters, `byzantine_count` among them; its class documents them.

    Returns:
        The rule.

    Raises:
        RuleError: If the name or a parameter is unknown, missing or out of range. The message
            lists what there is.
    """
    *prefixes, base = name.split("+")
    for prefix in prefixes:
        if prefix not in PRE_AGGREGATIONS:
            known = ", ".join(sorted(PRE_AGGREGATIONS)) or "none"
            raise RuleError(f"unknown pre-aggregation {prefix!r} in {name!r}; known: {known}")
    if base not in RULES:
        raise RuleError(f"unknown rule {base!r}; known: {', '.join(names())}")
    factory = RULES[base]
    accepted = signature(factory).parameters
    unknown = sorted(set(params) - set(accepted))
    missing = [
        key for key, it in accepted.items() if it.default is Parameter.empty and key not in params
    ]
    if unknown or missing:
        complaint = f"unknown {unknown}" if unknown else f"missing {missing}"
        raise RuleError(f"parameters of {name!r}: {complaint}; accepted: {sorted(accepted)}")
    return factory(**params)
