"""What to write in place of a value that a model of a file refuses."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from robust.parameters import meant

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Type of pydantic's complaint -> what to write instead; names in braces are its own.
_WORDS: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "dict_type": "a table: {{ name = value }}",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_type": "a whole number",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "list_type": "a list, in brackets",
    "literal_error": "{expected}",
    "model_attributes_type": "a table: {table}",
    "model_type": "a table: {table}",
    "string_type": "text, in quotes",
}
_NUMBERS: Final = frozenset({"finite_number", "float_type"})  # which a whole one is, too


def fix_of(complaints: Sequence["ErrorDetails"], field: str) -> str:
    """Return what to write in place of a value.

    Args:
        complaints: About this value: one for each type that the field may have.
        field: Dotted name of the field, as it stands in the file.
    """
    kinds = {it["type"] for it in complaints}
    if not kinds <= _WORDS.keys():
        said = complaints[0]["msg"]
        return said[:1].lower() + said[1:]
    if kinds & _NUMBERS:
        complaints = [it for it in complaints if it["type"] != "int_type"]
    *others, last = dict.fromkeys(_wanted(it, field) for it in complaints)
    wanted = f"{', '.join(others)} or {last}" if others else last
    return f"write {wanted}{_hint(complaints)}"


def _wanted(complaint: "ErrorDetails", field: str) -> str:
    bounds = {name: _written(value) for name, value in complaint.get("ctx", {}).items()}
    name, _, last = field.rpartition(".")
    table = f"[[{name}]]" if last.isdigit() else f"[{field}]"
    return _WORDS[complaint["type"]].format(table=table, **bounds)


def _written(bound: Any) -> Any:
    """Return a bound without a fraction of zero."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _hint(complaints: Sequence["ErrorDetails"]) -> str:
    """Say of a text that it is near to what was meant."""
    value = complaints[0]["input"]
    if not isinstance(value, str):
        return ""
    choices = [it.get("ctx", {}).get("expected", "") for it in complaints]
    near = meant(value, [name for it in choices for name in re.findall(r"'([^']*)'", it)])
    return near or (", without quotes" if _is_quoted(value) else "")


def _is_quoted(text: str) -> bool:
    """Return whether a text would be a number, true or false without its quotes."""
    try:
        float(text)
    except ValueError:
        return text in ("true", "false")
    return True
