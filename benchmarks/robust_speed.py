"""How fast the rules are and what memory they take, beside byzfl and beside reading the rows once.

    make bench-robust                                      # all of it: hours
    .venv-bench/bin/python -m benchmarks.robust_speed --dimension 100000
    .venv-bench/bin/python -m benchmarks.robust_speed --name krum --name median
    .venv-bench/bin/python -m benchmarks.robust_speed --report-only

A part of it is printed. docs/benchmarks.md is written from all of it, or with --document.

Every measurement runs in a process of its own and is kept in build/robust_speed.jsonl as soon as
it is there; a run that was stopped goes on where it was. Measurements of other versions of torch,
of byzfl or of the rules themselves are made anew.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import byzfl_rules
from benchmarks.document import add_option, publish
from benchmarks.record import add_entry, read_entries, versions_of
from benchmarks.robust_pairs import DIMENSIONS, PAIRS, THREADS, Pair
from benchmarks.robust_report import TITLE, Cells, key_of, missed, section
from benchmarks.transfer import describe_machine
from robust.compiled import COLUMNS_MIN

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "build" / "robust_speed.jsonl"
BYZFL_BYTES_MAX = 12_000_000_000  # half of the memory of an ordinary machine
BYZFL_CALL_S_MAX = 120.0
CELL_S_MAX = 60.0  # after the third turn
PROCESS_S_MAX = 1_800.0


def versions() -> dict[str, str]:
    """Return what a measurement depends on; it is measured anew when one of these changes."""
    return {"robust": _digest_of_rules()} | versions_of(("torch", "numba", "byzfl"))


def read_record(path: Path, wanted: dict[str, str]) -> Cells:
    """Read what was measured with these versions."""
    return {key_of(**it["job"]): it["found"] for it in read_entries(path, wanted)}


def jobs(names: Sequence[str], dimensions: Sequence[int]) -> Iterator[tuple[Pair, dict[str, Any]]]:
    """Yield each measurement, small ones first: they tell which large ones to leave out."""
    for dimension in sorted(dimensions):
        for pair in PAIRS:
            if pair.name not in names or dimension > pair.dimension_max:
                continue
            if pair.is_compiled and dimension < COLUMNS_MIN:
                continue
            job = {"name": pair.title, "dimension": dimension}
            for side in ("ours", "byzfl") if pair.byzfl else ("ours",):
                yield pair, {"kind": "memory", "side": side, **job}
            for threads in THREADS:
                yield pair, {"kind": "time", "threads": threads, **job}


def reason_to_skip_byzfl(cells: Cells, name: str, dimension: int) -> str:
    """Say why byzfl is left out, judged by a tenth of the dimension; empty if it is not."""
    smaller = cells.get(key_of("memory", name, dimension // 10, side="byzfl"))
    if smaller is None:
        return ""
    expected_bytes, expected_s = 10 * smaller["extra_bytes"], 10 * smaller["wall_s"]
    if expected_bytes > BYZFL_BYTES_MAX:
        return f"would take {expected_bytes / 1e9:.1f} GB"
    if expected_s > BYZFL_CALL_S_MAX:
        return f"would take {expected_s:.0f} s"
    return ""


def run_cell(job: dict[str, Any]) -> dict[str, Any] | None:
    """Measure in a process of its own; None if it fails or does not end."""
    command = [sys.executable, "-m", "benchmarks.robust_cell", json.dumps(job)]
    environment = os.environ | {"OMP_NUM_THREADS": str(job.get("threads", 1))}
    try:
        done = subprocess.run(
            command,
            check=True,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PROCESS_S_MAX,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"failed: {error}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(names: Sequence[str], dimensions: Sequence[int], cells: Cells) -> int:
    """Measure what is not in `cells` yet, add it there and to the record; return the failures."""
    current, has_byzfl, failures = versions(), byzfl_rules.is_installed(), 0
    RECORD.parent.mkdir(exist_ok=True)
    for pair, job in jobs(names, dimensions):
        key = key_of(**job)
        if key in cells or (job.get("side") == "byzfl" and not has_byzfl):
            continue
        skip = reason_to_skip_byzfl(cells, pair.title, job["dimension"])
        if job.get("side") == "byzfl" and skip:
            print(f"{key}: left out, byzfl {skip}", flush=True)
            continue
        arguments = job
        if job["kind"] == "time":
            is_paired = pair.byzfl is not None and has_byzfl and not skip
            arguments = {**job, "with_byzfl": is_paired, "seconds_max": CELL_S_MAX}
        found = run_cell(arguments)
        if found is None:
            failures += 1
            continue
        found["machine"] = describe_machine()
        cells[key] = found
        add_entry(RECORD, {"job": job, "found": found, "versions": current})
        print(f"{key}: done", flush=True)
    return failures


def only(cells: Cells, names: Sequence[str], dimensions: Sequence[int]) -> Cells:
    """Return the measurements of some rules at some dimensions."""
    chosen = {key_of(**job) for _, job in jobs(names, dimensions)}
    return {key: found for key, found in cells.items() if key in chosen}


def lacking(cells: Cells, names: Sequence[str]) -> str:
    """Say what is missing for the whole section; empty if nothing is."""
    if versions()["byzfl"] == "none":
        return "byzfl is not there to compare with"
    times = [key_of(**job) for _, job in jobs(names, DIMENSIONS) if job["kind"] == "time"]
    count = sum(key not in cells for key in times)
    return f"{count} of {len(times)} timings are missing" if count else ""


def _digest_of_rules() -> str:
    digest = hashlib.sha256()
    for file in sorted((ROOT / "robust").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the section or print it; 0 if every target is met and nothing failed.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    known = list(dict.fromkeys(pair.name for pair in PAIRS))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", action="append", choices=known, help="only this rule; repeatable")
    parser.add_argument("--dimension", action="append", type=int, choices=DIMENSIONS)
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    add_option(parser)
    options = parser.parse_args(arguments)
    names, dimensions = options.name or known, options.dimension or DIMENSIONS
    cells = read_record(RECORD, versions())
    failures = 0
    if not options.report_only:
        failures = measure(names, dimensions, cells)
    cells = only(cells, names, dimensions)
    if not cells:
        print(f"nothing is recorded for these versions: {versions()}", file=sys.stderr)
        return 1
    publish(
        TITLE,
        section(cells, versions(), THREADS),
        lacks=lacking(cells, known),
        is_wanted=options.document,
    )
    return 1 if failures or missed(cells) else 0


if __name__ == "__main__":
    sys.exit(main())
