"""Whether one setting does better than another: differences between runs of equal seeds.

Runs of one seed share identities, shares of the data, losses and delays, so that their difference
varies less than they do.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from scipy.stats import t

from p2pfed.errors import ConfigError
from robust.parameters import shown
from sim.run_folder import FinishedRun, has_failed, is_run, read_run
from sim.scenario import path_of
from sim.sweeps.listing import listed_runs, setting_folder
from sim.sweeps.plan import run_folder
from sim.sweeps.table import MEASURES, measures_of
from sim.sweeps.warned import warned, warnings_of

_SEEDS_SHOWN: Final = 10  # in an error; more say no more
_FIELDS_SHOWN: Final = 3
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much larger a measure is in the second runs than in the first.

    Attributes:
        measure: Its name; see `sim.sweeps.table`.
        first: Mean over the first runs of those pairs that have it.
        second: Mean over the second ones.
        difference: Mean of the pairs' differences.
        low: Lower end of the interval of the mean difference; None for a single pair.
        high: Upper end.
        pairs: How many pairs have the measure.
    """

    measure: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two settings, over the same seeds.

    Attributes:
        name: What both have in common, where several settings are compared; else empty.
        changed: Fields whose values differ, by dotted name: the first's and the second's, None
            where one does not say it. Of files that both name and that had other contents, `file`
            and the path: their BLAKE3-256.
        warnings: How many of the first runs have a warning and what it says, and of the second
            ones; None where none has.
        seeds: Of the pairs.
        differences: One per measure that some pair has.
    """

    name: str
    changed: Mapping[str, tuple[Any, Any]]
    warnings: tuple[str | None, str | None]
    seeds: tuple[int, ...]
    differences: tuple[Difference, ...]


def compare(first: str | Path, second: str | Path, *, confidence: float = 0.95) -> list[Comparison]:
    """Compare the runs of two folders, pair by pair.

    Each folder is a run folder, one with a run folder per seed, or that of a sweep, of which
    `sweep.json` says which runs are its own. Where both hold several settings, those of equal
    names are compared. A setting of a sweep may be named without the digest at its end.

    Args:
        first: A folder.
        second: Another one.
        confidence: Of the intervals, above 0 and below 1: how often such an interval holds the
            mean difference, if differences are drawn from a normal distribution.

    Raises:
        ConfigError: If a folder holds no runs, or the runs are not of the same seeds.

    Source: Student's t interval of the mean of paired differences (Student 1908, "The probable
        error of a mean", Biometrika 6).
    """
    if not 0.0 < confidence < 1.0:
        raise ConfigError("confidence", confidence, "write a number above 0 and below 1")
    first = setting_folder(path_of(first, "first"))
    second = setting_folder(path_of(second, "second"))
    one, two = _settings(first), _settings(second)
    if len(one) == len(two) == 1:
        names = [("", *one, *two)]
    elif one.keys() == two.keys():
        names = [(name, name, name) for name in one]
    else:
        raise _no_equal_settings((first, one), (second, two))
    return [
        _compare(name, (first, one[here]), (second, two[there]), confidence)
        for name, here, there in names
    ]


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Return the interval of the mean of independent values; None of fewer than two."""
    if len(values) < 2:
        return None
    quantile = float(t.ppf(0.5 + confidence / 2.0, df=len(values) - 1))
    half = quantile * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _compare(
    name: str,
    first: tuple[Path, Mapping[int, FinishedRun]],
    second: tuple[Path, Mapping[int, FinishedRun]],
    confidence: float,
) -> Comparison:
    (place, one), (other_place, two) = first, second
    for folder, has, wanted in ((place, one, two), (other_place, two, one)):
        missing = sorted(wanted.keys() - has.keys())
        if missing:
            seeds_missing = _first(list(map(str, missing)), _SEEDS_SHOWN)
            fix = f"has no run of seed {seeds_missing}, so that runs are no pairs; run these too"
            raise ConfigError("folder", str(folder / name if name else folder), fix)
    seeds = tuple(sorted(one))
    measures = [(measures_of(one[it].result), measures_of(two[it].result)) for it in seeds]
    sample = seeds[0]
    return Comparison(
        name=name,
        changed=_changed(one[sample], two[sample]),
        warnings=(_warned(one), _warned(two)),
        seeds=seeds,
        differences=tuple(
            found
            for measure in MEASURES
            if (found := _difference(measure, measures, confidence)) is not None
        ),
    )


def _warned(runs: Mapping[int, FinishedRun]) -> str | None:
    return warned(warnings_of([runs[seed] for seed in sorted(runs)]), len(runs))


def _difference(
    measure: str,
    pairs: Sequence[tuple[Mapping[str, float | None], Mapping[str, float | None]]],
    confidence: float,
) -> Difference | None:
    there = [
        (float(one), float(two))
        for first, second in pairs
        if (one := first[measure]) is not None and (two := second[measure]) is not None
    ]
    if not there:
        return None
    changes = [two - one for one, two in there]
    interval = t_interval(changes, confidence)
    return Difference(
        measure=measure,
        first=fmean(one for one, _ in there),
        second=fmean(two for _, two in there),
        difference=fmean(changes),
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        pairs=len(there),
    )


def _settings(folder: Path) -> dict[str, dict[int, FinishedRun]]:
    """Return the runs of a folder by setting and seed."""
    if is_run(folder) or has_failed(folder):
        run = read_run(folder)
        return {"": {run.seed: run}}
    groups: dict[str, dict[int, FinishedRun]] = {}
    listed = listed_runs(folder)
    if listed is not None:
        for name, seeds in listed.items():
            if seeds:
                place = folder / name
                groups[name] = _by_seed(place, [read_run(run_folder(place, it)) for it in seeds])
    elif folder.is_dir():
        for place in (folder, *sorted(it for it in folder.iterdir() if it.is_dir())):
            runs = [read_run(it) for it in sorted(place.iterdir()) if is_run(it)]
            if runs:
                groups["" if place == folder else place.name] = _by_seed(place, runs)
    if not groups:
        fix = "holds no results; name a folder that p2pfed sim run or sim sweep wrote"
        raise ConfigError("folder", str(folder), fix)
    return groups


def _by_seed(folder: Path, runs: Sequence[FinishedRun]) -> dict[int, FinishedRun]:
    found: dict[int, FinishedRun] = {}
    for run in runs:
        if run.scenario_digest != runs[0].scenario_digest:
            names = f"{runs[0].folder.name} and {run.folder.name}"
            said = f"{names} differ in {_fields_of(_changed(runs[0], run))}"
            fix = f"holds several scenarios; have one folder for each: {said}"
            raise ConfigError("folder", str(folder), fix)
        if edited := _edited(runs[0], run):
            names = f"{runs[0].folder.name} and {run.folder.name}"
            fix = f"{names} are of several versions of {', '.join(edited)}; run all of them again"
            raise ConfigError("folder", str(folder), fix)
        if run.seed in found:
            twice = f"{found[run.seed].folder.name} and {run.folder.name}"
            fix = f"has seed {run.seed} twice, in {twice}; move one of them elsewhere"
            raise ConfigError("folder", str(folder), fix)
        found[run.seed] = run
    return found


def _no_equal_settings(
    first: tuple[Path, Mapping[str, Mapping[int, FinishedRun]]],
    second: tuple[Path, Mapping[str, Mapping[int, FinishedRun]]],
) -> ConfigError:
    """Return that two sweeps are of other settings: which one alone has, and how they differ."""
    (place, one), (other_place, two) = first, second
    alone = {place: sorted(one.keys() - two.keys()), other_place: sorted(two.keys() - one.keys())}
    said = [f"only {folder} has {_listed(names)}" for folder, names in alone.items() if names]
    if len(said) == 2:
        here, there = (names[0] for names in alone.values())
        changed = _changed(one[here][min(one[here])], two[there][min(two[there])])
        said.append(
            f"{here or place.name} and {there or other_place.name} differ in {_fields_of(changed)}"
        )
    fix = f"compare one setting with one, or sweeps of the same settings; {'; '.join(said)}"
    return ConfigError("folders", f"{place}, {other_place}", fix)


def _listed(names: Sequence[str]) -> str:
    # A folder may hold the runs of its only setting itself.
    return _first([name or "runs of its own" for name in names], _NAMES_SHOWN)


def _fields_of(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """Say which fields differ, and both values."""
    said = [f"{field} ({_written(one)}, {_written(two)})" for field, (one, two) in changed.items()]
    return _first(said, _FIELDS_SHOWN)


def _first(said: Sequence[str], most: int) -> str:
    """Return the first of some texts in one, and how many more there are."""
    more = len(said) - most
    return ", ".join(said[:most]) + (f" and {more} more" if more > 0 else "")


def _written(value: Any) -> str:
    return "unset" if value is None else shown(value)


def _changed(first: FinishedRun, second: FinishedRun) -> dict[str, tuple[Any, Any]]:
    # As it was written, not as it is loaded: what another version ran can be compared all the same.
    one, two = (dict(_flat(run.document())) for run in (first, second))
    fields = {
        field: (one.get(field), two.get(field))
        for field in sorted(one.keys() | two.keys())
        if json.dumps(one.get(field), default=str) != json.dumps(two.get(field), default=str)
    }
    return fields | _edited(first, second)


def _edited(first: FinishedRun, second: FinishedRun) -> dict[str, tuple[Any, Any]]:
    """Return the digests of files that both runs name, and that had other contents."""
    one, two = first.files, second.files
    both = sorted(one.keys() & two.keys())
    return {f"file {path}": (one[path], two[path]) for path in both if one[path] != two[path]}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a document says by dotted field name, entries of lists by their number."""
    entries: Any = None
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, list) and any(isinstance(it, Mapping) for it in value):
        entries = enumerate(value)
    if entries is None:
        yield prefix.removesuffix("."), value
    else:
        for name, inner in entries:
            yield from _flat(inner, f"{prefix}{name}.")
