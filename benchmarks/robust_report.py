"""The section that `make bench-robust` writes into docs/benchmarks.md."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.robust_pairs import (
    BYZANTINE_COUNT,
    DIMENSIONS,
    MEMORY_BYTES_MAX,
    PAIRS,
    ROW_COUNT,
    THREADS,
    Pair,
)
from robust.compiled import COLUMNS_MIN

TITLE = "Rules"
Cells = dict[str, dict[str, Any]]

_FLOORS: Mapping[str, Sequence[str]] = {
    "once": ("weighted-sum",),
    "twice": ("sum", "weighted-sum"),
    "gram": ("gram", "weighted-sum"),
}

_FLOOR_WORDS = {"sum": "reading all", "weighted-sum": "weighted sum", "gram": "inner products"}


def key_of(kind: str, name: str, dimension: int, *, side: str = "", threads: int = 0) -> str:
    """Name one measurement."""
    return f"{kind} {name} d={dimension} {side or f'{threads} threads'}"


def speed_ups(found: Mapping[str, Any], clock: str = "cpu_s") -> list[float]:
    """Return byzfl's time over ours, turn by turn; empty without byzfl."""
    if "byzfl" not in found:
        return []
    turns = zip(found["byzfl"][clock], found["ours"][clock], strict=True)
    return [theirs / ours for theirs, ours in turns]


def floor_s(pair: Pair, found: Mapping[str, Any]) -> float:
    """Return the CPU seconds below which no rule of its kind can come, from the same run."""
    return sum(statistics.median(found[floor]["cpu_s"]) for floor in _FLOORS[pair.passes])


def missed(cells: Cells) -> list[str]:
    """Say in a sentence each which targets were measured and not met."""
    return [*_missed_speed(cells), *_missed_memory(cells)]


def notes(cells: Cells) -> list[str]:
    """Say where the plain rule alone misses what its compiled form meets, which is no miss."""
    return [sentence for pair in PAIRS for sentence in _left_to_compiled(cells, pair)]


def _missed_speed(cells: Cells) -> Iterator[str]:
    for pair in PAIRS:
        if not pair.is_compiled and _compiled_form(pair) is not None:
            continue
        for threads in THREADS:
            if _misses(cells, pair, threads):
                yield f"{_speed_sentence(cells, pair, threads)}."


def _left_to_compiled(cells: Cells, pair: Pair) -> Iterator[str]:
    compiled = _compiled_form(pair)
    if pair.is_compiled or compiled is None:
        return
    for threads in THREADS:
        if not _misses(cells, pair, threads):
            continue
        found = _measured(cells, compiled, threads)
        if found is None:
            end = "the compiled one was not measured"
        else:
            verb = "misses" if _misses(cells, compiled, threads) else "meets"
            end = f"the compiled one {verb} it, with {_reached(found):.1f} times"
        yield f"{_speed_sentence(cells, pair, threads)}; {end}."


def _compiled_form(pair: Pair) -> Pair | None:
    return next((it for it in PAIRS if it.is_compiled and it.name == pair.name), None)


def _misses(cells: Cells, pair: Pair, threads: int) -> bool:
    found = _measured(cells, pair, threads)
    if pair.speed_up_min is None or found is None:
        return False
    return _reached(found) < pair.speed_up_min


def _measured(cells: Cells, pair: Pair, threads: int) -> Mapping[str, Any] | None:
    found = cells.get(key_of("time", pair.title, pair.wanted_at, threads=threads))
    return found if found is not None and "byzfl" in found else None


def _reached(found: Mapping[str, Any]) -> float:
    return statistics.median(speed_ups(found))


def _speed_sentence(cells: Cells, pair: Pair, threads: int) -> str:
    found = _measured(cells, pair, threads)
    assert found is not None
    times_floor = statistics.median(found["ours"]["cpu_s"]) / floor_s(pair, found)
    return (
        f"`{pair.title}` at d = {pair.wanted_at:.0e}, {_in_words(threads)}, was "
        f"{_reached(found):.1f} times as fast as byzfl's {pair.byzfl_name}, wanted "
        f"{pair.speed_up_min:g} times; it took {times_floor:.1f} times its floor"
    )


def _in_words(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"


def _missed_memory(cells: Cells) -> Iterator[str]:
    for pair in PAIRS:
        dimension = pair.dimension_max
        found = cells.get(key_of("memory", pair.title, dimension, side="ours"))
        if found is not None and found["extra_bytes"] > MEMORY_BYTES_MAX:
            yield (
                f"`{pair.title}` at d = {dimension:.0e} took {found['extra_bytes'] / 1e6:.0f} MB "
                f"beside its rows, its result included, wanted {MEMORY_BYTES_MAX / 1e6:.0f} MB."
            )


def section(cells: Cells, versions: Mapping[str, str], threads: Sequence[int]) -> str:
    """Write the whole section."""
    tables = [
        f"### d = {dimension:,}, {_in_words(count)}\n\n" + _table(cells, dimension, count)
        for dimension in DIMENSIONS
        for count in threads
        if any(key_of("time", pair.title, dimension, threads=count) in cells for pair in PAIRS)
    ]
    sentences = missed(cells) or ["All targets that were measured are met."]
    misses = "\n".join(f"* {sentence}" for sentence in [*sentences, *notes(cells)])
    return "\n\n".join(
        [_introduction(), *tables, f"### Targets\n\n{misses}", _place(cells, versions)]
    )


def _introduction() -> str:
    return f"""\
Written by `make bench-robust`: {ROW_COUNT} rows of float32, f = {BYZANTINE_COUNT}.
CPU time is that of one call, user and system, the median of 3 to 9 turns and in brackets the least
and the most. Our rule, byzfl's and the floors take turns in one process. The ratio is byzfl's CPU
time over ours, the median of the turns' ratios. The floor is what torch takes, in the same run, for
a weighted sum of the rows; where lengths or distances from one vector come first, also for reading
every row, and where all distances do, for the inner products. Memory is how far one call raises the
peak of a process, the result included. Where byzfl has no such rule or was left out, its cells say
so. Of a rule that is there twice, the second is compiled by numba, for {COLUMNS_MIN:,} columns or
more; all others run without numba. The seconds behind its name are what the first call of a process
takes beyond the others: numba is loaded and the rule compiled. No other figure contains them. What
is wanted of such a rule is wanted of the compiled one. `rank-vote` reads ranks of int64, up to
{DIMENSIONS[-2]:,} of them: of ten times as many its result alone is 80 MB. Of each rule, a call at
the largest d is wanted to take no more than {MEMORY_BYTES_MAX / 1e6:.0f} MB."""


def _table(cells: Cells, dimension: int, threads: int) -> str:
    head = (
        "| rule | ours, CPU ms | wall ms | byzfl, CPU ms | ratio | times floor "
        "| ours, MB | byzfl, MB |\n|---|---|---|---|---|---|---|---|"
    )
    rows = [head]
    floors: dict[str, list[float]] = {}
    for pair in PAIRS:
        found = cells.get(key_of("time", pair.title, dimension, threads=threads))
        if found is None:
            continue
        floors = {name: found[name]["cpu_s"] for name in _FLOOR_WORDS}
        ours = found["ours"]["cpu_s"]
        columns = [
            _rule_column(pair, found),
            _spread(ours, 1e3),
            f"{1e3 * statistics.median(found['ours']['wall_s']):.3g}",
            *_byzfl_columns(pair, found),
            f"{statistics.median(ours) / floor_s(pair, found):.1f}",
            *(_megabytes(cells, pair, dimension, side) for side in ("ours", "byzfl")),
        ]
        rows.append("| " + " | ".join(columns) + " |")
    rows += [
        f"| floor: {_FLOOR_WORDS[name]} | {_spread(cpu, 1e3)} |||||||"
        for name, cpu in floors.items()
    ]
    return "\n".join(rows)


def _rule_column(pair: Pair, found: Mapping[str, Any]) -> str:
    if not pair.is_compiled:
        return f"`{pair.title}`"
    ours = found["ours"]
    return f"`{pair.title}` in {ours['first_cpu_s'] - statistics.median(ours['cpu_s']):.1f} s"


def _byzfl_columns(pair: Pair, found: Mapping[str, Any]) -> tuple[str, str]:
    if pair.byzfl is None:
        return "has none", ""
    if "byzfl" not in found:
        return "left out", ""
    return (
        f"{pair.byzfl_name}: {_spread(found['byzfl']['cpu_s'], 1e3)}",
        f"**{statistics.median(speed_ups(found)):.1f}** "
        f"({min(speed_ups(found)):.1f} to {max(speed_ups(found)):.1f})",
    )


def _megabytes(cells: Cells, pair: Pair, dimension: int, side: str) -> str:
    found = cells.get(key_of("memory", pair.title, dimension, side=side))
    if found is not None:
        return f"{found['extra_bytes'] / 1e6:.0f}"
    smaller = cells.get(key_of("memory", pair.title, dimension // 10, side=side))
    if smaller is None:
        return ""
    return f"about {smaller['extra_bytes'] / 1e5:.0f}, by a tenth of d"


def _spread(values: Sequence[float], scale: float) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle * scale:.3g} ({low * scale:.3g} to {high * scale:.3g})"


def _place(cells: Cells, versions: Mapping[str, str]) -> str:
    machines = [found["machine"] for found in cells.values() if "machine" in found]
    machine = machines[-1]
    loads = [found["load_1_min"] for found in machines]
    return (
        f"Machine: {machine['cpus']} CPUs {machine['architecture']}, {machine['system']}, load "
        f"{min(loads):.1f} to {max(loads):.1f} while measuring; Python {machine['python']}, torch "
        f"{versions['torch']}, numba {versions['numba']}, byzfl {versions['byzfl']}."
    )
