"""Accuracy against bytes at the simulator's wire, over methods and codecs: `make results-bytes`.

    python -m benchmarks.bytes_table --task digits    # minutes on one core
    python -m benchmarks.bytes_table --task reuters   # about two minutes per line and seed
    python -m benchmarks.bytes_table --task reuters --lines 'lora rank=8 / int4' --seeds 0

Results are kept in docs/results/bytes-digits.jsonl and bytes-reuters.jsonl, one line per run: an
interrupted table goes on where it ended, and a line whose tables have changed is run anew. Runs of
other sources count until `--redo` repeats the runs that are asked for; the document says so. Runs
that were not asked for now, but are in the file, are in the tables too. `--tune` first tries the
learning rates of each method, on the validation rows of seeds of their own.
The tables and the plot go to docs/results/; to build/bytes as long as one of their runs is missing.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks import bytes_report
from benchmarks.bytes_cells import Cell, run_cell
from benchmarks.bytes_lines import (
    BENCHES,
    PEER_COUNTS,
    SEEDS,
    SIZED_PEERS,
    SIZED_ROUNDS,
    TUNING_SEEDS,
    Bench,
)
from benchmarks.bytes_plot import draw
from benchmarks.sources import ROOT, fingerprint

RESULTS = ROOT / "docs" / "results"
PARTS = ROOT / "build" / "bytes"  # of the document in RESULTS, which they must not replace
# What decides a run beside its scenario.
SOURCES = ("p2pfed", "robust", "sim", "topologies")

Found = dict[str, dict[str, Any]]  # what came of a cell, by its key


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, and write table and plot.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    options = parse(arguments)
    bench = BENCHES[options.task]
    torch.set_num_threads(1)
    found = load(options.store)
    asked = cells(options, bench)
    complete(asked, {} if options.redo else found, options.store)
    found = load(options.store)
    results = bytes_report.Results(
        task=options.task,
        seeds={
            (line.name, seed): found[key]["result"]
            for line in bench.lines
            for seed in options.seeds
            if (key := Cell(task=options.task, line=line.name, seed=seed).key()) in found
        },
        tuned={
            (cell.line, cell.learning_rate, cell.seed): found[cell.key()]["result"]
            for cell in tuning_cells(options.task, bench)
            if cell.key() in found
        },
        peer_counts={
            (cell.line, cell.peers): found[cell.key()]["result"]
            for cell in peer_count_cells(options.task, bench)
            if cell.key() in found
        },
        sizes=[
            (cell.line, found[cell.key()]["result"])
            for cell in size_cells(options.task, bench)
            if cell.key() in found
        ],
        sources={line["sources"] for line in found.values()},
    )
    if options.out is None:
        options.out = RESULTS if is_whole(found, options.seeds, options.task) else PARTS
    options.out.mkdir(parents=True, exist_ok=True)
    plot = options.out / f"bytes-{options.task}.svg"
    text = bytes_report.document(results, plot.name, describe_place())
    (options.out / f"bytes-{options.task}.md").write_text(text, encoding="utf-8")
    draw(results, plot)
    print(f"written: {options.out}", file=sys.stderr)
    print(bytes_report.claims(results))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=tuple(BENCHES), default="reuters")
    parser.add_argument("--lines", nargs="+", help="names of lines; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--tune", action="store_true", help="try the learning rates, too")
    parser.add_argument("--redo", action="store_true", help="repeat the runs that are asked for")
    parser.add_argument("--store", type=Path, help="file of results; bytes-TASK.jsonl in --out")
    parser.add_argument(
        "--out", type=Path, help="folder of the tables; default: docs/results, or build/bytes"
    )
    options = parser.parse_args(arguments)
    options.store = options.store or (options.out or RESULTS) / f"bytes-{options.task}.jsonl"
    known = [line.name for line in BENCHES[options.task].lines]
    for name in options.lines or ():
        if name not in known:
            parser.error(f"{name}: the lines of {options.task} are {', '.join(known)}")
    return options


def is_whole(found: Found, seeds: Sequence[int], task: str) -> bool:
    """Tell whether every run of a task's document is there."""
    bench = BENCHES[task]
    wanted = [
        *(Cell(task=task, line=line.name, seed=seed) for seed in SEEDS for line in bench.lines),
        *peer_count_cells(task, bench),
        *size_cells(task, bench),
    ]
    return tuple(seeds) == SEEDS and all(cell.key() in found for cell in wanted)


def cells(options: argparse.Namespace, bench: Bench) -> list[Cell]:
    """Return the runs that are asked for: seed by seed, so that a part of them is a table, too."""
    names = options.lines or [line.name for line in bench.lines]
    asked = tuning_cells(options.task, bench) if options.tune else []
    asked += [
        Cell(task=options.task, line=name, seed=seed) for seed in options.seeds for name in names
    ]
    asked += [cell for cell in peer_count_cells(options.task, bench) if cell.line in names]
    if options.lines is None:
        asked += size_cells(options.task, bench)
    return asked


def tuning_cells(task: str, bench: Bench) -> list[Cell]:
    """Return the runs that choose learning rates."""
    return [
        Cell(task=task, line=line, seed=seed, learning_rate=rate, task_options=bench.tuning)
        for seed in TUNING_SEEDS
        for line, rates in bench.rates.items()
        for rate in rates
    ]


def peer_count_cells(task: str, bench: Bench) -> list[Cell]:
    """Return the runs of several sizes, on rings, where all have two neighbors."""
    return [
        Cell(
            task=task,
            line=line,
            seed=SEEDS[0],
            peers=peers,
            is_ring=True,
            rounds=bench.peer_counts_rounds,
        )
        for line in bench.peer_counts_lines
        for peers in PEER_COUNTS
    ]


def size_cells(task: str, bench: Bench) -> list[Cell]:
    """Return the runs of several sizes of the model."""
    return [
        Cell(
            task=task,
            line=line.name,
            seed=SEEDS[0],
            peers=SIZED_PEERS,
            is_ring=True,
            rounds=SIZED_ROUNDS,
            task_options=size,
        )
        for line in bench.sized
        for size in bench.sizes
    ]


def complete(asked: Iterable[Cell], found: Found, store: Path) -> None:
    """Run the cells that have not been found, and keep each as soon as it is there."""
    missing = [cell for cell in asked if cell.key() not in found]
    store.parent.mkdir(parents=True, exist_ok=True)
    stamp = {"sources": fingerprint(SOURCES)}
    with store.open("a", encoding="utf-8") as file:
        for number, cell in enumerate(missing, start=1):
            line = run_cell(cell) | stamp
            file.write(json.dumps(line, sort_keys=True) + "\n")
            file.flush()
            print(
                f"{number} / {len(missing)}: {cell.line}, seed {cell.seed}, "
                f"{line['result']['mean_accuracy']:.3f}, {line['seconds']:.0f} s",
                file=sys.stderr,
                flush=True,
            )


def load(store: Path) -> Found:
    """Read the store; of equal cells the last counts, and a line that was cut off does not."""
    if not store.exists():
        return {}
    whole, _, cut_off = store.read_text(encoding="utf-8").rpartition("\n")
    if cut_off:
        store.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    return {line["key"]: line for line in map(json.loads, whole.splitlines())}


def describe_place() -> str:
    """Return what a reader needs to place the numbers."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "peft", "transformers"))
    return (
        f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}; one process of one thread."
    )


if __name__ == "__main__":
    sys.exit(main())
