"""A scenario as one document: every field written out, changes to fields, and a digest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from p2pfed.config.files import parse
from p2pfed.errors import ConfigError
from sim.named_files import whole_paths
from sim.scenario import Scenario, load_scenario, read_scenario, run_plugins, unchecked

_SIMULATED: Final = ("index", "count")  # of a share: they follow from the topology
_AS_ONE: Final = ("integration.params",)  # what stands in it belongs to one rule


def document_of(scenario: Scenario) -> dict[str, Any]:
    """Return what would stand in the scenario's file if it said every field that has a value.

    A scenario that is loaded from it is the same one, also where later versions have other
    defaults.
    """
    run = parse(scenario.run).model_dump(exclude_none=True)
    del run["node"]
    for field in _SIMULATED:
        del run["share"][field]
    if "seed" not in scenario.run.get("run", {}):
        del run["run"]["seed"]  # it is the simulation's
    document: dict[str, Any] = _without_none(
        {**scenario.world.model_dump(exclude_none=True), **run}
    )
    return document


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the BLAKE3-256 of a document, in hexadecimal; the order of fields is nothing to it."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return blake3(text.encode()).hexdigest()


def with_overrides(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in which some fields have other values.

    Args:
        document: Of a scenario.
        overrides: Values by dotted field name, as `flat` takes them; entries of lists are numbered
            from 0, as in `adversaries.0.kind`. A table replaces the fields that it names.

    Raises:
        ConfigError: If a name leads through something that holds no fields. Whether the values
            can be used is seen when the scenario is loaded.
    """
    copy: dict[str, Any] = _copied(document)
    for field, value in flat(overrides):
        _put(copy, field, _copied(value))  # later ones may change what is in it
    return copy


def flat(overrides: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield overrides by dotted field name, and in place of tables the fields that they name.

    An empty table stays one, and takes the place of all that was in it; so does
    `integration.params`.
    """
    for name, value in overrides.items():
        field = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and field not in _AS_ONE:
            yield from flat(value, f"{field}.")
        else:
            yield field, value


def load_base(
    source: str | Path | Mapping[str, Any], changes: Sequence[Mapping[str, Any]]
) -> Scenario:
    """Load a scenario that is only run with other values of fields.

    Plug-ins that all changes replace are not run, and what only these name is not looked up.

    Args:
        source: As for `load_scenario`.
        changes: The overrides of each run; see `with_overrides`.

    Raises:
        ConfigError: If the scenario cannot be used.
    """
    if not changes or not all(map(_replaces_plugins, changes)):
        return load_scenario(source)
    scenario = read_scenario(source)
    scenario.refuse(scenario.unused())  # `load_changed` would leave it out without a word
    return scenario


def load_changed(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> Scenario:
    """Load a document in which some fields have other values.

    What it says of a part that these switch off is left out: who compares a part with none need
    not take its constants back one by one.

    Args:
        document: Of a scenario that can be used.
        overrides: Values by dotted field name; see `with_overrides`.

    Raises:
        ConfigError: If a value cannot be used; of the overrides also if it has no effect.
    """
    changed = whole_paths(with_overrides(document, overrides), Path.cwd())
    scenario = unchecked(changed)
    run_plugins(scenario)
    said = [field for field, _ in flat(overrides)]
    for _, error in list(scenario.unused()):
        if not any(f"{error.field}.".startswith(f"{field}.") for field in said):
            *path, last = error.field.split(".")
            value_of(changed, ".".join(path)).pop(last, None)
    return load_scenario(changed)


def value_of(document: Mapping[str, Any], field: str) -> Any:
    """Return the value of a field by its dotted name; None if the document does not say it."""
    place: Any = document
    for name in field.split("."):
        if isinstance(place, list):
            place = dict(enumerate(place)).get(int(name)) if name.isdecimal() else None
        else:
            place = place.get(name) if isinstance(place, Mapping) else None
    return place


def _replaces_plugins(overrides: Mapping[str, Any]) -> bool:
    return any(field.split(".")[0] == "plugins" for field, _ in flat(overrides))


def _put(document: dict[str, Any], field: str, value: Any) -> None:
    place: Any = document
    *path, last = field.split(".")
    for name in path:
        if isinstance(place, list):
            place = place[_entry(place, name, field, value)]
        elif isinstance(place, dict):
            place = place.setdefault(name, {})
        else:
            break
    if isinstance(place, list):
        place[_entry(place, last, field, value)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise ConfigError(field, value, f"name a field; {path[-1]} is a value and has none")


def _entry(entries: list[Any], name: str, field: str, value: Any) -> int:
    if name.isascii() and name.isdigit() and int(name) < len(entries):
        return int(name)
    rest = "the list is empty: write all of it"
    if entries:
        rest = f"write a number from 0 to {len(entries) - 1} in place of {name}, or the whole list"
    raise ConfigError(field, value, f"the scenario has no such entry; {rest}")


def _copied(value: Any) -> Any:
    match value:
        case Mapping():
            return {name: _copied(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_copied(inner) for inner in value]
        case _:
            return value


def _without_none(value: Any) -> Any:
    """Return a value without what TOML cannot say."""
    match value:
        case Mapping():
            return {name: _without_none(it) for name, it in value.items() if it is not None}
        case list() | tuple():
            return [_without_none(it) for it in value]
        case _:
            return value
