"""The table of docs/robust.md that says what parameters each rule has, from the rules' classes.

Prints it: `python -m tests.docs.robust_parameters`.
"""

import re
from collections.abc import Iterator
from inspect import Parameter, cleandoc, signature
from typing import Any

from robust.registry import PRE_AGGREGATIONS, RULES

HEAD = ("| Rule | Parameter | Default | Meaning and range |", "|---|---|---|---|")
COUNT = "byzantine_count"  # every part has it, and documents it alike


def table() -> list[str]:
    """Return the table's lines."""
    return [*HEAD, *lines(RULES), *lines(PRE_AGGREGATIONS)]


def lines(parts: Any) -> Iterator[str]:
    for name, part in sorted(parts.items()):
        meanings = documented(part)
        for parameter in sorted(
            signature(part).parameters.values(), key=lambda it: it.name != COUNT
        ):
            meaning = rows_needed(part) if parameter.name == COUNT else meanings[parameter.name]
            yield f"| `{name}` | `{parameter.name}` | {default(parameter)} | {meaning} |"


def rows_needed(part: Any) -> str:
    """Return how many rows it takes, as its class says."""
    needed = " ".join(cleandoc(part.rows_min.__doc__).split())
    return f"f, the liars allowed for. Rows needed: {needed[0].lower()}{needed[1:]}"


def default(parameter: Parameter) -> str:
    if parameter.default is Parameter.empty:
        return "none: give it"
    if parameter.default is None:
        return ""
    text = repr(parameter.default)
    return f"`{text}`".replace("'", '"').replace("False", "false").replace("True", "true")


def documented(part: Any) -> dict[str, str]:
    """Return what a class's docstring says of each argument, in a line."""
    section = cleandoc(part.__doc__).partition("\nArgs:\n")[2].split("\n\n")[0]
    entries = re.split(r"\n    (?=\w+: )", "\n" + section)
    pairs = (entry.split(": ", maxsplit=1) for entry in entries if entry.strip())
    return {name.strip(): " ".join(text.split()) for name, text in pairs}


if __name__ == "__main__":
    print("\n".join(table()))
