"""Who survives whom on digits: rules x attacks x {iid, Dirichlet 0.3} x {ring, 6-regular}.

    python -m benchmarks.attack_matrix                      # about an hour on two cores
    python -m benchmarks.attack_matrix --rules median --attacks alie --seeds 0 --out build/sample

Results are kept in build/attack-matrix.jsonl, one line per run: an interrupted matrix goes on where
it ended, and `--redo` repeats the runs that are asked for. The first seed is used for the whole
matrix, the others for the default rule and the three best. The tables go to
docs/results/attack-matrix.md, every cell to the CSV file beside it; those of a part of it to
build/attack-matrix.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import robust
from benchmarks import attack_report
from benchmarks.attack_cells import (
    ATTACKS,
    NONE,
    PARTITIONS,
    SILENT,
    TOPOLOGIES,
    Cell,
    run_cell,
    start_process,
    why_unusable,
)
from benchmarks.attack_results import Found, Results, results_of
from benchmarks.sources import ROOT, fingerprint

STORE = ROOT / "build" / "attack-matrix.jsonl"
BEST_COUNT = 3
COMBINED = (
    "nnm+trimmed-mean",
    "nnm+median",
    "nnm+geometric-median",
    "nnm+krum",
    "nnm+multi-krum",
    "nnm+self-centered-clipping",
    "bucketing+median",
    "bucketing+trimmed-mean",
    "arc+nnm+trimmed-mean",
    "arc+self-centered-clipping",
    "mean@no-cap",
    "reputation@ledger",
    "trimmed-mean@ledger",
    "self-centered-clipping@ledger",
    "nnm+trimmed-mean@ledger",
    "mean@gate",
    "nnm+trimmed-mean@gate",
)
# Run with all seeds beside the default and the best: other rules behind the same mixing, and the
# default with a reputation ledger, which the guide recommends.
ALSO = ("nnm+median", "nnm+self-centered-clipping", "nnm+trimmed-mean@ledger")
# What decides a cell: a result from other sources may not be what these would give.
SOURCES = ("robust", "sim/rounds", "sim/adversaries/attacks", "p2pfed/learn", "topologies")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, and write the tables.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    options = parse(arguments)
    known = [rule for rule in options.rules if why_unusable(rule) is None]
    for rule in options.rules:
        if rule not in known:
            print(f"left out: {rule}: {why_unusable(rule)}", file=sys.stderr)
    attacks = list(dict.fromkeys([SILENT, NONE, *options.attacks]))
    shape = {"peers": options.peers, "liars": options.liars, "rounds": options.rounds}

    def cells(rules: Iterable[str], seeds: Iterable[int]) -> list[Cell]:
        return [
            Cell(rule=r, attack=a, partition=p, topology=t, seed=s, **shape)
            for s, r, p, t, a in product(seeds, rules, PARTITIONS, TOPOLOGIES, attacks)
        ]

    found = {} if options.redo else load(options.store)
    first = cells(known, options.seeds[:1])
    complete(first, found, options)
    results = Results(found=found, rules=known, attacks=attacks, seeds=options.seeds, shape=shape)
    best = [rule for rule in results.ranked() if rule != options.default][:BEST_COUNT]
    chosen = [options.default, *best] if options.default in known else best
    chosen += [rule for rule in options.also if rule in known and rule not in chosen]
    complete(cells(chosen, options.seeds[1:]), found, options)
    options.out.mkdir(parents=True, exist_ok=True)
    failures = attack_report.failures(results)
    table = results.csv()
    (options.out / "attack-matrix.csv").write_text(table, encoding="utf-8")
    results = results_of(table, shape)  # so that the text holds nothing that the table does not
    text = attack_report.document(results, options.default, describe_place(options), failures)
    (options.out / "attack-matrix.md").write_text(text, encoding="utf-8")
    print(attack_report.verdicts(results, options.default))
    print(attack_report.ranking(results))
    print("\n".join(failures))
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    default = robust.Integrator().rule
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rules", nargs="+", default=[*robust.names(), *COMBINED], help="default: all"
    )
    parser.add_argument(
        "--attacks",
        nargs="+",
        default=list(ATTACKS),
        help=f"{', '.join(ATTACKS)}, or an attack's name; silent and none are always run",
    )
    parser.add_argument("--default", default=default, help=f"rule to be judged ({default})")
    parser.add_argument(
        "--also", nargs="*", default=list(ALSO), help="rules to run with all seeds, too"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--peers", type=int, default=16)
    parser.add_argument("--liars", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--redo", action="store_true", help="repeat the runs that are asked for")
    parser.add_argument("--store", type=Path, default=STORE, help="file of results")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of the tables: docs/results, or build/attack-matrix if only a part is run",
    )
    options = parser.parse_args(arguments)
    if options.out is None:
        asked = ("rules", "attacks", "default", "also", "seeds", "peers", "liars", "rounds")
        is_whole = all(getattr(options, name) == parser.get_default(name) for name in asked)
        parts = ("docs", "results") if is_whole else ("build", "attack-matrix")
        options.out = ROOT.joinpath(*parts)
    return options


def complete(cells: Sequence[Cell], found: Found, options: argparse.Namespace) -> None:
    """Run the cells that have not been found, add them, and keep each as soon as it is there."""
    missing = [cell for cell in cells if cell.key() not in found]
    options.store.parent.mkdir(parents=True, exist_ok=True)
    stamp = {"sources": fingerprint(SOURCES), "torch": version("torch")}
    print(f"{len(cells)} runs, {len(missing)} of them to do", file=sys.stderr, flush=True)
    with options.store.open("a", encoding="utf-8") as file:
        for number, (cell, line) in enumerate(run_all(missing, options.jobs), start=1):
            found[cell.key()] = line | stamp
            file.write(json.dumps(line | stamp, sort_keys=True) + "\n")
            file.flush()
            if number % 50 == 0 or number == len(missing):
                print(f"{number} / {len(missing)}", file=sys.stderr, flush=True)


def run_all(cells: Sequence[Cell], jobs: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Run cells, in processes of their own if there is more than one job; in any order."""
    if jobs == 1:
        start_process()
        yield from ((cell, run_cell(cell)) for cell in cells)
        return
    # Spawned: a forked process would inherit torch's threads in whatever state they are.
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=start_process) as pool:
        futures = {pool.submit(run_cell, cell): cell for cell in cells}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def load(store: Path) -> Found:
    """Read the store; of equal cells the last counts.

    Errors are left out, so that they are tried again, and so is a line that was cut off.
    """
    found: Found = {}
    if not store.exists():
        return found
    whole, _, cut_off = store.read_text(encoding="utf-8").rpartition("\n")
    if cut_off:
        store.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    for text in whole.splitlines():
        line = json.loads(text)
        if "error" not in line["result"]:
            found[Cell(**line["cell"]).key()] = line
    return found


def describe_place(options: argparse.Namespace) -> str:
    """Return what a reader needs to place the numbers."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "networkx"))
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {platform.system()}, Python "
        f"{platform.python_version()}, {versions}; {options.jobs} processes of one thread."
    )


if __name__ == "__main__":
    sys.exit(main())
