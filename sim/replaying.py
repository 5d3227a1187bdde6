"""Running a finished run again, to see whether it is the same to the last bit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2pfed.plain_json import finite
from sim.documents import document_of
from sim.named_files import file_digests
from sim.provenance import provenance
from sim.run_folder import TRACE_FILE, FinishedRun, check_trace, read_run
from sim.running import run
from sim.trace_lines import Parting, TraceComparer, TraceRecorder, read_trace

_GROWING: Final = ("metrics", "peers")  # later versions tell more in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What running something again came to.

    Attributes:
        is_same: Whether the trace digest and the models are those of the run, and so are all events
            if there is a trace. Where those alone differ, the trace is not the run's.
        recorded: Trace digest of the run.
        now: That of the replay.
        fields: Fields of the result that differ.
        programs: Versions that differ: those of the run, and those now.
        files: Files that the scenario names and that differ, by path: digest of the run, and that
            now; None where there was none. Empty if an earlier version ran it, which kept none.
        parting: The first event that differs; None if all are the same, or no trace was kept.
        has_trace: Whether the run had kept its trace.
    """

    is_same: bool
    recorded: str
    now: str
    fields: tuple[str, ...]
    programs: Mapping[str, tuple[Any, Any]]
    files: Mapping[str, tuple[str | None, str | None]]
    parting: Parting | None
    has_trace: bool


def replay(folder: Path, *, trace: Path | None = None) -> Replay:
    """Simulate again what a run folder is of, and compare.

    Args:
        folder: The run folder; it is left as it is.
        trace: The run's trace; by default `trace.jsonl` in the folder, if it is there.

    Raises:
        ConfigError: If the folder is none, or its scenario or the trace cannot be used.
        InvariantError: If the protocol did what it must never do.
    """
    recorded = read_run(folder)
    scenario = recorded.scenario()
    check_trace(scenario, trace)
    path = folder / TRACE_FILE if trace is None else trace
    has_trace = trace is not None or path.is_file()
    comparer = TraceComparer(read_trace(path) if has_trace else ())
    watchers = [TraceRecorder(comparer.take)] if has_trace else []
    files = file_digests(document_of(scenario))
    result = run(scenario, recorded.seed, watchers=watchers)
    now = json.loads(result.to_json())
    before = recorded.result
    # What only a later version tells, and writes out of a scenario, is no difference. An earlier
    # one wrote NaN.
    fields = [
        it
        for it in sorted((before.keys() & now.keys()) - {"scenario_digest"})
        if finite(before[it]) != (_told_then(before[it], now[it]) if it in _GROWING else now[it])
    ]
    versions = provenance()
    parting = comparer.finish() if has_trace else None
    return Replay(
        is_same=not fields and parting is None,
        recorded=str(before["trace_digest"]),
        now=str(now["trace_digest"]),
        fields=tuple(fields),
        programs={
            name: (recorded.program.get(name), value)
            for name, value in versions.items()
            if recorded.program.get(name) != value
        },
        files=_changed_files(recorded, files),
        parting=parting,
        has_trace=has_trace,
    )


def _told_then(before: Any, now: Any) -> Any:
    """Return what a replay tells of metrics or peers, without what only a later version does."""
    match before, now:
        case dict(), dict():
            return {name: value for name, value in now.items() if name in before}
        case list(), list() if len(before) == len(now):
            return [_told_then(*pair) for pair in zip(before, now, strict=True)]
        case _:
            return now


def _changed_files(
    recorded: FinishedRun, now: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    if "files" not in recorded.program:
        return {}
    then = recorded.files
    paths = sorted(then.keys() | now.keys())
    return {it: (then.get(it), now.get(it)) for it in paths if then.get(it) != now.get(it)}
