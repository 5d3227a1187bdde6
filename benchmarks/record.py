"""What a benchmark measured, one cell a line: a run that was stopped goes on where it was."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of distributions, "none" of those that are not installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def read_entries(path: Path, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the entries that were measured with these versions."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # empty, or cut off when a run was stopped
        if entry["versions"] == wanted:
            yield entry


def add_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry, with its versions."""
    with path.open("a", encoding="utf-8") as record:
        # On a line of its own, even if the last one was cut off.
        record.write(f"\n{json.dumps(entry)}\n")
