"""Checks of what a caller asks for."""

import operator
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from numbers import Real
from typing import Any, TypeVar

from topologies.errors import TopologyError

Made = TypeVar("Made")


def check_count(name: str, value: object, *, least: int) -> int:
    """Return `value` as an int.

    Raises:
        TopologyError: If it is not a whole number or is below `least`.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]  # what it refuses is the point
    except TypeError:
        raise TopologyError(f"{name}={value!r}: use a whole number") from None
    if count < least or isinstance(value, bool):
        raise TopologyError(f"{name}={value!r}: use a whole number of at least {least}")
    return count


def check_number(name: str, value: object, *, least: float, most: float) -> float:
    """Return `value` as a float.

    Raises:
        TopologyError: If it is not a number, or not from `least` to `most`.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if least <= number <= most:
            return number
    raise TopologyError(f"{name}={value!r}: use a number from {least:g} to {most:g}")


def call_by_name(
    table: Mapping[str, Callable[..., Made]],
    name: str,
    *,
    nodes: int,
    seed: int,
    params: Mapping[str, Any],
    hint: str = "",
) -> Made:
    """Call the function of a table with the parameters that it takes.

    Args:
        table: The functions, by name.
        name: Of one of them.
        nodes: Handed on as it is; the function checks it.
        seed: At least 0; handed on to those that take one.
        params: All others.
        hint: What to say of a name that is not in the table.

    Raises:
        TopologyError: If the name or a parameter is unknown, or one is missing or out of range.
    """
    if name not in table:
        raise TopologyError(
            f"name={name!r}: unknown topology; use one of {', '.join(sorted(table))}{hint}"
        )
    accepted = signature(table[name]).parameters
    own_params = sorted(set(accepted) - {"nodes", "seed"})
    unknown = sorted(set(params) - set(own_params))
    missing = [
        key for key in own_params if accepted[key].default is Parameter.empty and key not in params
    ]
    if unknown or missing:
        complaint = f"unknown {unknown}" if unknown else f"missing {missing}"
        raise TopologyError(
            f"parameters of {name!r}: {complaint}; besides nodes and seed it takes {own_params}"
        )
    seed = check_count("seed", seed, least=0)
    seeds = {"seed": seed} if "seed" in accepted else {}
    return table[name](nodes=nodes, **seeds, **params)
