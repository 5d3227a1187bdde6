"""The genesis for people: what differs between two, and one as readable TOML."""

from collections.abc import Mapping, Sequence
from typing import Final

from p2pfed.wire.genesis import FIELDS, Component, Genesis, ParameterEntry, encode, run_id

# A table or a value of the report, by the names that people know from the document.
_Tree = Mapping[str, object]

_SHOWN_MAX: Final = 80  # characters of a value in a difference; a line of a terminal

# Fields whose parts have an order of their own; maps are compared by name.
_STRUCTURED: Final = frozenset({"initial", "method", "codec", "admission"})

_COMMENTS: Final = {
    "format": "version of this document",
    "name": "of the run, for people",
    "seed": "of everything random that peers share",
    "task": "what is learned: a built-in task, or package.module:factory",
    "base_model": "BLAKE3-256 of the values that are not trained",
    "parameters": "the trainable tensors, in the order of the trainable vector",
    "initial": "where everybody starts: portable = computed from the seed, given = fetched by hash",
    "method": "how a model becomes an update",
    "codec": "how an update becomes bytes",
    "section_bytes_max": "largest size of each part of a payload, in bytes",
    "admission": "who may take part: open, certificate, or pre-shared-key",
}


def difference(here: Genesis, there: Genesis) -> str | None:
    """Return the first difference as a dotted path with both values, or None.

    Example: `method.constants.rank: 8 here, 16 there`.
    """
    for name in FIELDS:
        if name == "parameters":
            found = _parameter_difference(here.parameters, there.parameters)
        else:
            found = _difference(name, _plain(here, name), _plain(there, name))
        if found is not None:
            return found
    return None


def describe(genesis: Genesis) -> str:
    """Return the genesis as TOML with comments, to be read; the document itself is binary.

    Raises:
        LocalError: If the genesis breaks a rule of the schema.
    """
    lines = [
        f"# Genesis of the run {run_id(encode(genesis)).hex()}.",
        "# A rendering for people: peers exchange the binary document, and this text is not read.",
    ]
    for name in FIELDS:
        value = _plain(genesis, name)
        lines += ["", f"# {_COMMENTS[name]}"]
        if isinstance(value, Mapping):
            lines += _table(name, value)
        elif name == "parameters":
            lines += ["parameters = [", *map(_parameter_line, genesis.parameters), "]"]
        else:
            lines.append(f"{name} = {_literal(value)}")
    return "\n".join(lines) + "\n"


def _plain(genesis: Genesis, name: str) -> object:
    """Return a field as nested tables of plain values."""
    match name, getattr(genesis, name):
        case _, Component() as component:
            return {"name": component.name, "constants": _sorted(component.constants)}
        case "initial", initial:
            return {"kind": initial.kind, "digest": initial.digest}
        case "admission", admission:
            tree: dict[str, object] = {"rule": admission.rule}
            if admission.keys:
                tree["keys"] = admission.keys
            if admission.key_hash is not None:
                tree["key_hash"] = admission.key_hash
            return tree
        case "section_bytes_max", limits:
            return _sorted(limits)
        case _, value:
            return value


def _sorted(table: Mapping[str, object]) -> _Tree:
    return {name: table[name] for name in sorted(table)}


def _difference(path: str, here: object, there: object) -> str | None:
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        names = {**here, **there}
        for name in names if path in _STRUCTURED else sorted(names):
            if name not in here:
                return f"{path}.{name}: missing here, {_shown(there[name])} there"
            if name not in there:
                return f"{path}.{name}: {_shown(here[name])} here, missing there"
            found = _difference(f"{path}.{name}", here[name], there[name])
            if found is not None:
                return found
        return None
    # 1, 1.0 and True are equal in Python and three different values in the document.
    if _literal(here) == _literal(there):
        return None
    return f"{path}: {_shown(here)} here, {_shown(there)} there"


def _parameter_difference(
    here: Sequence[ParameterEntry], there: Sequence[ParameterEntry]
) -> str | None:
    for index, (mine, other) in enumerate(zip(here, there, strict=False)):  # lengths come after
        path = f"parameters[{index}]"
        if mine.name != other.name:
            return f"{path}.name: {_shown(mine.name)} here, {_shown(other.name)} there"
        for part in ("shape", "dtype"):
            values = getattr(mine, part), getattr(other, part)
            if values[0] != values[1]:
                shown = f"{_shown(values[0])} here, {_shown(values[1])} there"
                return f"{path}.{part} of {mine.name}: {shown}"
    if len(here) == len(there):
        return None
    longer, side = (here, "here") if len(here) > len(there) else (there, "there")
    extra = longer[min(len(here), len(there))].name
    return f"parameters: {len(here)} here, {len(there)} there; {_shown(extra)} is only {side}"


def _shown(value: object) -> str:
    text = _literal(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _table(path: str, table: _Tree) -> list[str]:
    """Return a TOML table: its values first, then the tables in it."""
    lines = [f"[{path}]"]
    inner = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            inner += ["", *_table(f"{path}.{name}", value)]
        else:
            lines.append(f"{name} = {_literal(value)}")
    return lines + inner


def _parameter_line(entry: ParameterEntry) -> str:
    return (
        f"  {{ name = {_literal(entry.name)}, shape = {_literal(entry.shape)}, "
        f"dtype = {_literal(entry.dtype)} }},"
    )


def _literal(value: object) -> str:
    """Return a TOML value; bytes in hexadecimal."""
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return f'"{value.hex()}"'
        case str():  # of printable characters only, so that two escapes suffice
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case tuple() | list():
            return f"[{', '.join(_literal(item) for item in value)}]"
        case _:
            return repr(value)  # integers and finite floats
