"""Options of the form `name=value`: what is on the right is read as in a run file."""

import tomllib
from collections.abc import Sequence
from typing import Any

from p2pfed.errors import ConfigError


def parse_assignments(texts: Sequence[str], *, option: str) -> dict[str, Any]:
    """Read `name=value` texts; a value that is not TOML is a text.

    Examples: `schedule.rounds_max=20`, `codec.name=int8`, `method.targets=["query"]`.

    Args:
        texts: As they were typed.
        option: The option's name, for the error.

    Raises:
        ConfigError: If a text has no `=`, or one name stands twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(option, text, "write name=value, such as schedule.rounds_max=20")
        if name in found:
            raise ConfigError(option, text, f"{name} is set twice; leave one")
        found[name] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text  # a bare word
    return read["value"] if len(read) == 1 else text
