"""When peers are there: intervals from a scenario or a trace, and the absences between them."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2pfed.errors import ConfigError
from robust.parameters import meant, shown

_FIELDS: Final = ("peer", "from_s", "until_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One time at which a peer is there.

    Attributes:
        peer: Its number.
        from_s: Virtual time, in seconds.
        until_s: The same; None for good.
    """

    peer: int
    from_s: float
    until_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """One time at which a peer is not there.

    Attributes:
        peer: Its number.
        from_s: Virtual time, in seconds; 0 if it is not there from the beginning.
        until_s: The same; infinite for good.
        silent: Its machine goes dark; otherwise its connections are closed.
    """

    peer: int
    from_s: float
    until_s: float
    silent: bool


def read_trace(path: Path, *, field: str, nodes: int) -> list[Presence]:
    """Read a trace: CSV with the head `peer,from_s,until_s`, or JSON lines with these fields.

    Args:
        path: Ends with .csv, or .jsonl.
        field: Of the scenario, for errors.
        nodes: Peers; a trace may name no others.

    Raises:
        ConfigError: Naming the file, and the line that cannot be used.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fix = f"cannot be read ({type(error).__name__}); name a .csv or .jsonl file"
        raise ConfigError(field, str(path), fix) from error
    read = _read_json if path.suffix == ".jsonl" else _read_csv
    found = []
    for number, entry in read(lines):
        for key in sorted(entry.keys() - _FIELDS):
            fix = f"line {number} has the unknown key {shown(key)}; write {', '.join(_FIELDS)}"
            raise ConfigError(field, str(path), f"{fix}{meant(key, _FIELDS)}")
        presence = _presence(entry, nodes)
        if presence is None:
            fix = (
                f"line {number} is no interval; write {', '.join(_FIELDS)}: a number from 0 to "
                f"{nodes - 1}, and seconds, the later ones empty for good"
            )
            raise ConfigError(field, str(path), fix)
        found.append(presence)
    if not found:
        raise ConfigError(field, str(path), f"has no interval; write lines of {', '.join(_FIELDS)}")
    return found


def absences(presences: Iterable[Presence], *, silent: bool) -> list[Absence]:
    """Return when peers are away, which they are at all times but those of their presences.

    Args:
        presences: Of any peers, in any order; those that overlap or touch are one.
        silent: Machines go dark when their presence ends, as phones do.
    """
    found = []
    for peer, spans in _spans(presences).items():
        ends = [0.0, *(until_s for _, until_s in spans)]
        beginnings = [*(from_s for from_s, _ in spans), math.inf]
        found += [
            Absence(peer=peer, from_s=end_s, until_s=begin_s, silent=silent)
            for end_s, begin_s in zip(ends, beginnings, strict=True)
            if end_s < begin_s
        ]
    return found


def starts_s(gone: Iterable[Absence]) -> dict[int, float]:
    """Return when peers start that are not there from the beginning, by number, in seconds."""
    return {it.peer: it.until_s for it in gone if it.from_s == 0.0}


def _spans(presences: Iterable[Presence]) -> dict[int, list[tuple[float, float]]]:
    """Return the times of each peer, in order and apart from each other."""
    spans: dict[int, list[tuple[float, float]]] = {}
    for it in sorted(presences, key=lambda it: (it.peer, it.from_s)):
        until_s = math.inf if it.until_s is None else it.until_s
        own = spans.setdefault(it.peer, [])
        if own and it.from_s <= own[-1][1]:
            own[-1] = (own[-1][0], max(own[-1][1], until_s))
        else:
            own.append((it.from_s, until_s))
    return spans


def _read_csv(lines: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv.reader(lines)
    head = [name.strip() for name in next(rows, [])]
    if head != list(_FIELDS):
        yield 1, {}
        return
    for number, row in enumerate(rows, start=2):
        if row:
            yield number, dict(zip(_FIELDS, row, strict=False)) if len(row) == len(head) else {}


def _read_json(lines: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        yield number, entry if isinstance(entry, dict) else {}


def _presence(entry: Mapping[str, Any], nodes: int) -> Presence | None:
    until = entry.get("until_s")
    try:
        peer, from_s = int(entry["peer"]), float(entry["from_s"])
        until_s = None if until is None or until == "" else float(until)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    is_whole = not isinstance(entry["peer"], float) and 0 <= peer < nodes
    is_after = until_s is None or from_s < until_s < math.inf
    if not (is_whole and 0.0 <= from_s < math.inf and is_after):
        return None
    return Presence(peer=peer, from_s=from_s, until_s=until_s)
