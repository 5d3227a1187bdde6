"""Options that name several values at once: `field=v1,v2`, and numbers such as `0..4`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from p2pfed.cli.assignments import parse_assignments
from p2pfed.errors import ConfigError

_SEEDS_MAX: Final = 100_000  # a larger range is a slip of the keys
_SEEDS: Final = re.compile(r"(\d+)(?:\.\.(\d+))?")
_BRACKETS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


def parse_choices(texts: Sequence[str], *, option: str) -> dict[str, list[Any]]:
    """Read `name=v1,v2` texts; each value is read as by `parse_assignments`.

    Commas inside brackets, braces and quotes belong to a value.

    Args:
        texts: As they were typed.
        option: The option's name, for the error.

    Raises:
        ConfigError: If a text has no `=`, one name stands twice, or a value is missing.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip()
        if name in found:
            raise ConfigError(option, text, f"{name} is set twice; write all values in one")
        if not equals or not name:
            raise ConfigError(
                option, text, "write name=v1,v2, such as integration.rule=mean,median"
            )
        parts = list(_parts(values))
        if not all(parts):
            raise ConfigError(option, text, "a value is missing between commas; write name=v1,v2")
        found[name] = [parse_assignments([f"{name}={part}"], option=option)[name] for part in parts]
    return found


def parse_seeds(text: str) -> list[int]:
    """Read seeds: numbers and ranges, both ends included, such as `0..4` or `0,3,7..9`.

    Raises:
        ConfigError: If it is something else, or a seed stands twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if match is None:
            raise ConfigError("seeds", text, "write numbers and ranges, such as 0..4 or 0,3,7..9")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first or last - first >= _SEEDS_MAX:
            fix = f"write the smaller number first, and at most {_SEEDS_MAX} seeds"
            raise ConfigError("seeds", text, fix)
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise ConfigError("seeds", text, "a seed stands twice; name each once")
    return seeds


def assignment_of(name: str, value: Any) -> str:
    """Return the `name=value` text from which `parse_assignments` reads a value."""
    if isinstance(value, str) and parse_assignments([f"x={value}"], option="set")["x"] == value:
        return f"{name}={value}"
    return f"{name}={_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = [f"{json.dumps(name)} = {_toml(inner)}" for name, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # For numbers and texts JSON and TOML are the same; a date is written as it is.
    return json.dumps(value) if isinstance(value, str | int | float | bool) else str(value)


def _parts(text: str) -> Iterator[str]:
    """Yield what stands between the commas that are in no brackets and no quotes."""
    depth, quote, part = 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += _BRACKETS.get(character, 0)
        if character == "," and not depth and not quote:
            yield part.strip()
            part = ""
        else:
            part += character
    yield part.strip()
