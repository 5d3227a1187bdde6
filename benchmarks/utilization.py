"""How much of the time peers on home lines train, and how much they wait for each other.

    make results-utilization
    .venv/bin/python -m benchmarks.utilization --update sparse-sum   # printed only

Every measurement is kept in build/utilization.jsonl as soon as it is there; a run that was stopped
goes on where it was. A change of the code or of a version makes it anew.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, Final

from benchmarks.record import add_entry, read_entries, versions_of
from benchmarks.sources import ROOT, fingerprint
from benchmarks.transfer import describe_machine
from benchmarks.utilization_report import STEPS_S, document, missed
from benchmarks.utilization_updates import UPDATES, costs_of, measure
from benchmarks.utilization_world import COUNTS, GRAPHS, Setting, Utilization, simulate

RECORD = ROOT / "build" / "utilization.jsonl"
DOCUMENT = ROOT / "docs" / "results" / "utilization.md"
MODES: Final = ("synchronous", "asynchronous")
# With few neighbors, paths that entries of a ledger take depend on the graph; all else hardly does.
SEEDS: Final = {("sparse-sum", "4-regular"): (0, 1, 2)}
# A round's transfers take minutes: with shorter steps nothing is left to be seen but that.
LONG_STEPS_ONLY: Final = ("lora, float32", "complete")
JITTER_RATIO: Final = 0.1

Measured = dict[str, dict[str, Any]]
Cells = dict[Setting, Utilization]


def versions() -> dict[str, str]:
    """Return what a measurement depends on."""
    return {"code": fingerprint(("sim", "p2pfed", "robust"))} | versions_of(("torch", "numpy"))


def settings(update: str, graph: str) -> Iterator[Setting]:
    """Yield what is simulated of one way to send updates."""
    seeds = SEEDS.get((update, graph), (0,))
    steps_s = STEPS_S[-1:] if (update, graph) == LONG_STEPS_ONLY else STEPS_S
    for step_s, mode, seed in product(reversed(steps_s), MODES, seeds):
        yield Setting(update=update, graph=graph, mode=mode, step_s=step_s, seed=seed)
    if (update, graph) == ("sparse-sum", "4-regular"):
        for mode, seed in product(MODES, seeds):
            yield Setting(mode=mode, jitter_ratio=JITTER_RATIO, seed=seed)


def read_record(path: Path, wanted: Mapping[str, str]) -> tuple[Measured, Cells]:
    """Read what was measured and simulated with these versions."""
    measured: Measured = {}
    cells: Cells = {}
    for entry in read_entries(path, wanted):
        if "update" in entry:
            measured[entry["update"]] = entry["found"]
        else:
            found = entry["found"] | {"training": tuple(entry["found"]["training"])}
            cells[Setting(**entry["setting"])] = Utilization(**found)
    return measured, cells


def measure_apart(update: str) -> dict[str, Any]:
    """Measure what an update takes in a process of its own, whose memory is gone afterwards."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.utilization", "--measure", update],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complete(
    measured: Measured, cells: Cells, updates: Sequence[str], graphs: Sequence[str]
) -> None:
    """Add what is not there yet, and write it down."""
    current = versions()
    RECORD.parent.mkdir(exist_ok=True)
    for update in updates:
        if update not in measured:
            measured[update] = measure_apart(update)
            entry = {"update": update, "found": measured[update], "versions": current}
            add_entry(RECORD, entry)
            print(f"{update}: {measured[update]}", flush=True)
        costs = costs_of(measured[update])
        for setting in (it for graph in graphs for it in settings(update, graph)):
            if setting in cells:
                continue
            cells[setting] = simulate(setting, costs)
            entry = {"setting": asdict(setting), "found": asdict(cells[setting])}
            add_entry(RECORD, {**entry, "versions": current})
            print(f"{setting}: {cells[setting].worst:.4f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, write the document or print it; 0 if the target is met.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--update", action="append", choices=list(UPDATES), help="repeatable")
    parser.add_argument("--graph", action="append", choices=list(GRAPHS), help="repeatable")
    parser.add_argument("--measure", choices=list(UPDATES), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        print(json.dumps(measure(options.measure, COUNTS[options.measure])))
        return 0
    measured, cells = read_record(RECORD, versions())
    updates, graphs = options.update or list(UPDATES), options.graph or list(GRAPHS)
    complete(measured, cells, updates, graphs)
    wanted = [it for update in updates for graph in graphs for it in settings(update, graph)]
    chosen = {setting: cells[setting] for setting in wanted}
    text = document(
        {update: measured[update] for update in updates}, chosen, describe_machine() | versions()
    )
    if options.update is None and options.graph is None:
        DOCUMENT.write_text(text, encoding="utf-8")
        print(f"written: {DOCUMENT}")
    else:
        print(text)
    misses = missed(measured, chosen)
    for line in misses:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
