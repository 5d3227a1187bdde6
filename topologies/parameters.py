"""Checks of what a caller asks for."""

import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from numbers import Real
from typing import Any, Final, TypeVar

import numpy as np

from topologies.errors import TopologyError

Made = TypeVar("Made")

# The widest that is asked for are seeds, of at most 128 bits.
_COUNT_MAX: Final = 2**128 - 1
_SHOWN_MAX: Final = 80  # characters of a wrong value that an error repeats


def check_count(name: str, value: object, *, least: int) -> int:
    """Return `value` as an int.

    Raises:
        TopologyError: If it is not a whole number, is below `least`, or has more than 128 bits.
    """
    try:
        count = operator.index(value)  # type: ignore[arg-type]  # what it refuses is the point
    except TypeError:
        raise TopologyError(f"{name}={shown(value)}: use a whole number") from None
    if count < least or isinstance(value, bool):
        raise TopologyError(f"{name}={shown(value)}: use a whole number of at least {least}")
    if count > _COUNT_MAX:
        raise TopologyError(f"{name}={shown(value)}: use a whole number of at most 128 bits")
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
    raise TopologyError(f"{name}={shown(value)}: use a number from {least:g} to {most:g}")


def check_flag(name: str, value: object) -> bool:
    """Return `value` as a bool.

    Raises:
        TopologyError: If it is neither true nor false: a text such as "no" would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        raise TopologyError(f"{name}={shown(value)}: use True or False")
    return bool(value)


def check_text(name: str, value: object) -> str:
    """Return `value`.

    Raises:
        TopologyError: If it is no text.
    """
    if not isinstance(value, str):
        raise TopologyError(f"{name}={shown(value)}: use a text")
    return value


def check_choice(name: str, value: object, known: Collection[str]) -> str:
    """Return `value`.

    Raises:
        TopologyError: If it is none of the texts `known`.
    """
    if not isinstance(value, str) or value not in known:
        raise TopologyError(f"{name}={shown(value)}: use one of {sorted(known)}")
    return value


def check_path(value: object) -> None:
    """Complain about what can be no name of a file.

    Raises:
        TopologyError: If it is neither a text nor a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise TopologyError(f"path={shown(value)}: use the name of a file")


def shown(value: object) -> str:
    """Return a value as an error repeats it: in a line, however large it is."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no whole numbers of some sizes
        text = f"(a {type(value).__name__})"
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def meant(name: object, known: Iterable[str]) -> str:
    """Return which of some names was probably meant by another one, to end an error with."""
    if not isinstance(name, str):
        return ""
    text = name[:_SHOWN_MAX].strip().lower()
    begun = [it for it in sorted(known) if text and it.startswith(text)]
    near = get_close_matches(text, sorted(known), n=1) or begun
    return f"; did you mean {near[0]!r}?" if near else ""


def call_by_name(
    table: Mapping[str, Callable[..., Made]],
    name: str,
    *,
    nodes: int,
    seed: int,
    params: Mapping[str, Any],
    others: Collection[str],
    hint: str,
) -> Made:
    """Call the function of a table with the parameters that it takes.

    Args:
        table: The functions, by name.
        name: Of one of them.
        nodes: Handed on as it is; the function checks it.
        seed: At least 0; handed on to those that take one.
        params: All others.
        others: Names of another table.
        hint: What to say of one of those.

    Raises:
        TopologyError: If the name or a parameter is unknown, or one is missing or out of range.
    """
    given: object = name
    if not isinstance(given, str) or name not in table:
        known = ", ".join(sorted(table))
        more = f"; {hint}" if isinstance(given, str) and name in others else ""
        more = more or meant(given, table)
        raise TopologyError(f"name={shown(name)}: unknown topology; use one of {known}{more}")
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
