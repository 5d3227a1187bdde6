"""When peers are there: intervals from a scenario or a trace, and the absences between them."""

import csv
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2pfed.errors import ConfigError
from robust.parameters import meant, shown
from sim.clock import SECONDS_MAX

_FIELDS: Final = ("peer", "from_s", "until_s")
_HEAD: Final = ",".join(_FIELDS)
_OBJECT: Final = '{"peer": 0, "from_s": 0, "until_s": 60}'
_FOR_GOOD: Final = "or leave it out for good"


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
        # Excel begins its files with a mark of their encoding.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fix = f"cannot be read ({type(error).__name__}); name a .csv or .jsonl file"
        raise ConfigError(field, str(path), fix) from error
    is_csv = path.suffix.lower() != ".jsonl"
    lines = [(number, it) for number, it in enumerate(text.splitlines(), start=1) if it.strip()]
    if not lines:
        first = (
            f"the head {_HEAD}, and then lines such as 0,0,60" if is_csv else f"lines: {_OBJECT}"
        )
        raise ConfigError(field, str(path), f"is empty; write {first}")
    found = []
    for number, line in lines:
        try:
            if is_csv and number == lines[0][0]:
                _check_head(line)
            else:
                found.append(_presence(_of_csv(line) if is_csv else _of_json(line), nodes))
        except _LineError as error:
            raise ConfigError(field, str(path), f"line {number}: {error}") from error
    if not found:
        raise ConfigError(
            field, str(path), "has a head and no interval; write lines such as 0,0,60"
        )
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


class _LineError(Exception):
    """What is wrong with a line, and how to mend it."""


def _check_head(line: str) -> None:
    head = [name.strip() for name in _cells(line)]
    if head != list(_FIELDS):
        more = "; or end the file's name in .jsonl" if line.lstrip().startswith("{") else ""
        raise _LineError(f"the head is {shown(line)}; write {_HEAD}{more}")


def _of_csv(line: str) -> Mapping[str, Any]:
    cells = _cells(line)
    if len(cells) != len(_FIELDS):
        fix = f"write three, {_HEAD}, the last one empty for good"
        raise _LineError(f"{shown(line)} has {len(cells)} fields; {fix}")
    return dict(zip(_FIELDS, cells, strict=True))


def _cells(line: str) -> list[str]:
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in line:
            fix = "write commas between fields, and points in numbers"
            raise _LineError(f"{shown(line)} has {name}; {fix}")
    return next(csv.reader([line]))


def _of_json(line: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        more = "; or end the file's name in .csv" if "," in line and "{" not in line else ""
        raise _LineError(f"{shown(line)} is no JSON object; write {_OBJECT}{more}")
    for key in sorted(entry.keys() - _FIELDS):
        fix = f"there is no key {shown(key)}; write {', '.join(_FIELDS)}{meant(key, _FIELDS)}"
        raise _LineError(fix)
    return entry


def _presence(entry: Mapping[str, Any], nodes: int) -> Presence:
    for name in ("peer", "from_s"):
        if name not in entry:
            raise _LineError(f"{name} is missing; write {_OBJECT}")
    peer = _whole_number(entry["peer"])
    if peer is None or not 0 <= peer < nodes:
        fix = f"write its number, 0 to {nodes - 1}"
        raise _LineError(f"peer = {shown(entry['peer'])} is no peer of the scenario; {fix}")
    from_s, until_s = _seconds(entry, "from_s"), None
    if entry.get("until_s") is not None and str(entry["until_s"]).strip():
        until_s = _seconds(entry, "until_s", f", {_FOR_GOOD}")
        if until_s <= from_s:
            said = f"until_s = {shown(entry['until_s'])} is not after from_s"
            raise _LineError(f"{said} = {shown(entry['from_s'])}; write a later one, {_FOR_GOOD}")
    return Presence(peer=peer, from_s=from_s, until_s=until_s)


def _whole_number(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        return None


def _seconds(entry: Mapping[str, Any], name: str, more: str = "") -> float:
    value = entry[name]
    try:
        is_one = isinstance(value, int | float | str) and not isinstance(value, bool)
        seconds = float(value) if is_one else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0.0 <= seconds <= SECONDS_MAX:
        fix = f"write seconds from 0 to {SECONDS_MAX:g}{more}"
        raise _LineError(f"{name} = {shown(value)} is no time; {fix}")
    return seconds
