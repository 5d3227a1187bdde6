"""The constants of the parts that a run file names, for people: defaults and meanings."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Final, final

# Tables of a run file whose name decides which constants stand beside it. Of [share] they are left
# out: that one is written there changes which rows a peer gets.
NAMED_TABLES: Final = ("method", "codec", "training.step_rule", "outer")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantLine:
    """One constant.

    Attributes:
        name: As it stands in the file.
        default: As TOML knows it.
        meaning: The first sentence of what its class says, without the period.
    """

    name: str
    default: Any
    meaning: str


def constants_of(table: str, name: str) -> list[ConstantLine]:
    """List the constants that a part has and its default values, in the order of its class.

    Args:
        table: One of `NAMED_TABLES`.
        name: The part's; of one that is not known there are none.
    """
    made = _parts(table).get(name)
    if made is None or not is_dataclass(made):
        return []
    meanings = _meanings(made)
    return [
        ConstantLine(
            name=it.name,
            default=list(it.default) if isinstance(it.default, tuple) else it.default,
            meaning=meanings.get(it.name, ""),
        )
        for it in fields(made)
        if it.default is not MISSING
    ]


def _parts(table: str) -> Mapping[str, type[Any]]:
    # Importing them needs torch, which reading a run file does not.
    from p2pfed.learn.outer import OUTER_STEPS
    from p2pfed.learn.steps import STEP_RULES
    from p2pfed.updates.registry import CODECS, METHODS

    known: Mapping[str, Mapping[str, type[Any]]] = {
        "method": METHODS,
        "codec": CODECS,
        "training.step_rule": STEP_RULES,
        "outer": OUTER_STEPS,
    }
    return known[table]


def _meanings(made: type[Any]) -> dict[str, str]:
    """Read what a class and those that it is made of say of their fields."""
    found: dict[str, str] = {}
    for kind in reversed(made.__mro__):
        text = inspect.cleandoc(kind.__doc__ or "")
        _, _, section = text.partition("\nAttributes:\n")
        section = re.split(r"\n(?=\S)", section, maxsplit=1)[0]
        for name, words in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE):
            found[name] = _first_sentence(words)
    return found


def _first_sentence(words: str) -> str:
    flat = " ".join(words.split()).replace("`", "")
    first = re.split(r"(?<=[^.])\.(?: |$)", flat, maxsplit=1)[0]
    begins_a_word = first[1:2].islower() or first[1:2] == " "
    return first[:1].lower() + first[1:] if begins_a_word else first
