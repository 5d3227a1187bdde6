"""Making an object from a literal table by name and constants, with errors that say what to write.

The objects of all tables are frozen dataclasses whose fields are their constants. Constants come
from TOML, so a list stands for a tuple and an integer for a float.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from p2pfed.errors import ConfigError
from robust.parameters import meant

Constant = int | float | str | bool | tuple[str, ...]

T = TypeVar("T")


def construct(
    table: Mapping[str, type[T]], name: str | T, constants: Mapping[str, object], *, field: str
) -> T:
    """Make the object that `name` stands for, or hand back an object that is made already.

    Args:
        table: Name to class.
        name: Which one, or the object itself.
        constants: Values of its fields; those left out keep their defaults.
        field: Where the name stands in the configuration, for errors: `method`, `codec`.

    Raises:
        ConfigError: If the name or a constant is unknown, a constant is missing, or the class
            refuses a value.
    """
    if not isinstance(name, str):
        for constant, value in constants.items():
            raise ConfigError(f"{field}.{constant}", value, f"remove it; the {field} is made")
        return name
    if name not in table:
        raise ConfigError(field, name, one_of(sorted(table), name))
    made = table[name]
    assert is_dataclass(made)
    known = {each.name: each for each in fields(made)}
    for constant, value in constants.items():
        if constant not in known:
            choices = f"knows only {', '.join(known)}" if known else "has no constants"
            raise ConfigError(f"{field}.{constant}", value, f"remove it; {name} {choices}")
    for constant, each in known.items():
        is_required = each.default is MISSING and each.default_factory is MISSING
        if is_required and constant not in constants:
            raise ConfigError(f"{field}.{constant}", None, f"set it; {name} needs it")
    return made(**{constant: _from_toml(value) for constant, value in constants.items()})


def one_of(known: Sequence[str], said: object) -> str:
    """Return what to write in place of an unknown name, to end an error with."""
    near = meant(said, known) if isinstance(said, str) else ""
    return f"write one of {', '.join(known)}{near}"


def _from_toml(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


def check_number(
    value: object,
    field: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    """Refuse what is not a finite number in range.

    Args:
        value: An integer or float.
        field: Its name in the configuration.
        above: The number must be larger than this.
        least: The number must be at least this.
        below: The number must be smaller than this.
        most: The number must be at most this.

    Raises:
        ConfigError: If it is not.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (above < value < below and least <= value <= most):  # type: ignore[operator]
        bounds = {"above": above, "at least": least, "below": below, "at most": most}
        words = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
        raise ConfigError(field, value, f"write a finite number, {' and '.join(words)}")


def check_integer(value: object, field: str, *, least: int) -> None:
    """Refuse what is not an integer of at least `least`.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(field, value, f"write an integer of at least {least}")


def check_choice(value: object, field: str, choices: tuple[str, ...]) -> None:
    """Refuse what is not one of the texts.

    Raises:
        ConfigError: If it is not.
    """
    if value not in choices:
        raise ConfigError(field, value, one_of(choices, value))


def check_text(value: object, field: str) -> None:
    """Refuse what is no text; it may be empty.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(value, str):
        raise ConfigError(field, value, "write a text")


def check_names(value: object, field: str) -> None:
    """Refuse what is not a tuple of non-empty, different texts, at least one.

    Raises:
        ConfigError: If it is not.
    """
    names = value if isinstance(value, tuple) else ()
    is_text = all(isinstance(name, str) and name for name in names)
    if not names or not is_text or len(set(names)) != len(names):
        fix = f"write a list of different names, at least one, such as {_example(value)}"
        raise ConfigError(field, value, fix)


def _example(value: object) -> str:
    """Return the list probably meant by a name without one, or by numbers that are names."""
    given = value if isinstance(value, tuple) else (value,)
    names = [
        str(it)
        for it in given
        if isinstance(it, str | int) and not isinstance(it, bool) and it != ""
    ]
    return json.dumps(list(dict.fromkeys(names)) or ["query", "value"])
