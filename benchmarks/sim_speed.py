"""How fast the simulator is at some sizes, beside gossipy and a plain torch loop.

    make bench-sim
    .venv-bench/bin/python -m benchmarks.sim_speed --peers 100 --way messages

Ways take turns, so that whatever else the machine does falls on all of them. Every measurement
runs in a process of its own and is kept in build/sim_speed.jsonl as soon as it is there; a run that
was stopped goes on where it was. A change of the code or of a version makes it anew. A part is
printed; docs/benchmarks.md is written from all of it, or with --document.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median
from typing import Any, Final

from benchmarks import sim_adapters
from benchmarks.document import add_option, publish
from benchmarks.record import add_entry, read_entries, versions_of
from benchmarks.sim_ways import COMPILED, COMPILED_IN_PARTS, IN_PARTS, WAYS, Way
from benchmarks.sources import ROOT, fingerprint
from benchmarks.transfer import describe_machine
from p2pfed.core.peer import is_compiled

RECORD = ROOT / "build" / "sim_speed.jsonl"
# What `make compiled` installed.
SITE = ROOT / "build" / "compiled" / "site"
_COMPILED_WAYS: Final = (COMPILED, COMPILED_IN_PARTS)
TITLE = "Simulator"
# Peers and rounds that are timed: enough peer-rounds to see, few enough to wait for.
ROUNDS: Final = {10: 100, 100: 30, 1_000: 6, 10_000: 2}
_QUICK_RATIO: Final = 5  # as many rounds of ways that would be done at once
TURNS: Final = {10: 3, 100: 3, 1_000: 3, 10_000: 1}  # of each way; one where it takes minutes
# Peers with adapters on a pretrained model, for the memory of a hundred of them.
ADAPTER_WAYS: Final[Mapping[str, Way]] = {
    "messages, LoRA on MiniLM": sim_adapters.messages,
    "rounds, LoRA on MiniLM": sim_adapters.rounds,
}
ADAPTER_PEERS = 100
ADAPTER_TURNS = 1  # memory does not vary
ADAPTER_ROUNDS = 1
ALL_WAYS: Final = {**WAYS, **ADAPTER_WAYS}
CELL_S_MAX = 3_600.0
# Peer-rounds per second of wall time at 1,000 peers, with two threads.
WANTED: Final = {
    "messages": 2_500.0,
    IN_PARTS: 2_500.0,
    COMPILED: 2_500.0,
    COMPILED_IN_PARTS: 2_500.0,
    "rounds, mean": 40_000.0,
    "rounds, trimmed mean": 20_000.0,
}
GROWTH_MAX = 1.3  # of the cost of a peer-round with messages, from 1,000 to 10,000 peers
MEMORY_BYTES_MAX = 2 << 30  # with 10,000 peers
ADAPTER_BYTES_MAX = 6 << 30  # with 100 peers with adapters

# Way, peers, threads -> what each turn found.
Cells = dict[tuple[str, int, int], list[dict[str, Any]]]


def versions() -> dict[str, str]:
    """Return what a measurement depends on."""
    code = fingerprint(("sim", "p2pfed", "robust", "topologies"))
    return {"code": code} | versions_of(("torch", "gossipy-dfl"))


def read_record(path: Path, wanted: Mapping[str, str]) -> Cells:
    """Read what was measured with these versions."""
    cells: Cells = {}
    for it in read_entries(path, wanted):
        cells.setdefault((it["way"], it["peers"], it["threads"]), []).append(it["found"])
    return cells


def turns_of(way: str, peers: int) -> int:
    """Return how often a way is measured at one of its sizes."""
    if way in ADAPTER_WAYS:
        return ADAPTER_TURNS
    return TURNS[peers]


def is_measured(way: str, peers: int) -> bool:
    """Return whether a way is measured at a size."""
    return way not in ADAPTER_WAYS or peers == ADAPTER_PEERS


def measure_here(way: str, peers: int, threads: int) -> dict[str, Any]:
    """Simulate in this process; return seconds, peer-rounds and the peak of its memory."""
    rounds = ROUNDS[peers]
    if is_compiled() != (way in _COMPILED_WAYS):
        sys.exit(f"{way}: this is the other build of p2pfed; run `make compiled` for it")
    if way in ADAPTER_WAYS:
        sim_adapters.without_torchvision()
        rounds = ADAPTER_ROUNDS
    if way in WANTED and not way.startswith("messages"):
        rounds *= _QUICK_RATIO
    start, end = ALL_WAYS[way](peers, rounds, threads)
    in_parts = way in (IN_PARTS, COMPILED_IN_PARTS)
    others_kib = (threads - 1) * getrusage(RUSAGE_CHILDREN).ru_maxrss if in_parts else 0
    return {
        "peer_rounds": peers * rounds,
        "wall_s": end.wall_s - start.wall_s,
        "cpu_s": end.cpu_s - start.cpu_s,
        # Linux counts in KiB.
        "peak_bytes": (getrusage(RUSAGE_SELF).ru_maxrss + others_kib) * 1024,
    }


def measure(way: str, peers: int, threads: int) -> dict[str, Any] | None:
    """Simulate in a process of its own; None if it fails or does not end."""
    job = json.dumps([way, peers, threads])
    sources = [SITE, ROOT] if way in _COMPILED_WAYS else [ROOT]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "benchmarks.sim_speed", "--cell", job],
            check=True,
            cwd=ROOT,
            env=os.environ
            | {
                "OMP_NUM_THREADS": str(threads),
                "PYTHONPATH": os.pathsep.join(map(str, sources)),
            },
            stdout=subprocess.PIPE,
            text=True,
            timeout=CELL_S_MAX,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"failed: {error}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_missing(ways: Sequence[str], sizes: Sequence[int], threads: int, cells: Cells) -> int:
    """Add what is not in `cells` yet to them and to the record; return the failures."""
    current = versions()
    RECORD.parent.mkdir(exist_ok=True)
    jobs = [
        (way, peers)
        for turn in range(max(TURNS.values()))
        for peers in sorted(sizes)
        for way in ways
        if is_measured(way, peers)
        and turn < turns_of(way, peers)
        and len(cells.get((way, peers, threads), ())) <= turn
        and not (way == "gossipy" and current["gossipy-dfl"] == "none")
    ]
    failures = 0
    for way, peers in jobs:
        found = measure(way, peers, threads)
        if found is None:
            failures += 1
            continue
        cells.setdefault((way, peers, threads), []).append(found)
        entry = {"way": way, "peers": peers, "threads": threads, "found": found}
        add_entry(RECORD, {**entry, "versions": current})
        print(f"{way}, {peers} peers: {speed(found):,.0f}/s", flush=True)
    return failures


def speed(found: Mapping[str, Any], clock: str = "wall_s") -> float:
    """Return peer-rounds per second of wall time, or of CPU time."""
    return float(found["peer_rounds"] / found[clock])


def typical_speed(found: Sequence[Mapping[str, Any]], clock: str = "wall_s") -> float:
    """Return the median of the turns' `speed`."""
    return median(speed(it, clock) for it in found)


def peak(found: Sequence[Mapping[str, Any]]) -> int:
    """Return the most memory that any turn took, in bytes."""
    return max((int(it["peak_bytes"]) for it in found), default=0)


def growth(cells: Cells, way: str, peers: int, threads: int) -> float | None:
    """Return the CPU time of a peer-round in that of 1,000 peers; None if one is missing."""
    if (way, peers, threads) not in cells or (way, 1_000, threads) not in cells:
        return None
    base = typical_speed(cells[way, 1_000, threads], "cpu_s")
    return base / typical_speed(cells[way, peers, threads], "cpu_s")


def missed(cells: Cells, threads: int) -> list[str]:
    """Say which targets are missed, of those that were measured."""
    found = []
    for way, least in WANTED.items():
        cell = cells.get((way, 1_000, threads))
        if cell is not None and (reached := typical_speed(cell)) < least:
            found.append(f"{way}, 1,000 peers: {reached:,.0f} of {least:,.0f} per second")
    ratio = growth(cells, "messages", 10_000, threads)
    if ratio is not None and ratio > GROWTH_MAX:
        found.append(f"messages: a peer-round of 10,000 peers costs {ratio:.2f} of {GROWTH_MAX}")
    for way in WANTED:
        most = peak(cells.get((way, 10_000, threads), ()))
        if most > MEMORY_BYTES_MAX:
            found.append(f"{way}, 10,000 peers: {most / 2**30:.1f} of 2 GiB")
    for way in ADAPTER_WAYS:
        most = peak(cells.get((way, ADAPTER_PEERS, threads), ()))
        if most > ADAPTER_BYTES_MAX:
            found.append(f"{way}, {ADAPTER_PEERS} peers: {most / 2**30:.1f} of 6 GiB")
    return found


def section(cells: Cells, threads: int) -> str:
    """Return the section's text."""
    lines = []
    for way in ALL_WAYS:
        for peers in ROUNDS:
            cell = cells.get((way, peers, threads))
            if cell is None:
                continue
            ratio = growth(cells, way, peers, threads)
            shown = "" if ratio is None else f"{ratio:.2f}"
            turns = [speed(it) for it in cell]
            lines.append(
                f"| {way} | {peers:,} | {typical_speed(cell):,.0f} | {min(turns):,.0f} to "
                f"{max(turns):,.0f} | {typical_speed(cell, 'cpu_s'):,.0f} | "
                f"{peak(cell) / 2**20:,.0f} | {shown} |"
            )
    table = "\n".join(lines)
    targets = "; ".join(missed(cells, threads)) or "none"
    machine: dict[str, Any] = describe_machine() | versions()
    return f"""
Digits, a perceptron 64-32-10, 4-regular graph; each peer has 32 rows, drawn with replacement, and
takes one step on all of them in a round (SGD, 0.1). One process per line, {threads} threads, after
rounds that are not counted, one or, with messages, four, in which peers greet each other and tell
whom they know; medians of {TURNS[1_000]} turns, of {TURNS[10_000]} at 10,000 peers, and the slowest
and the fastest of them. `messages` has every frame of the protocol, each signature verified once
per world, and ends with a round that is not counted, in which all models are tested; `processes` is
the same in {threads} processes of one thread each, whose memory is summed and each of which
verifies what it gets; `compiled` is the same with the wheel that `make compiled`
builds; `rounds` exchanges in step, without frames; of its `liars`
a fifth of the peers are, and flip the sign of what they learned; `gossipy` pushes to one neighbor
and signs nothing; `torch loop` is what one writes by hand. Growth is the CPU time of a
peer-round in that of 1,000 peers. gossipy imports torchvision, whose place an empty module takes.
`LoRA on MiniLM` is another task: Reuters, adapters of rank 8, two steps of {sim_adapters.BATCH}
examples; all peers share one copy of the frozen encoder.

| way | peers | peer-rounds/s | from, to | per CPU second | peak MiB | growth |
|---|---|---|---|---|---|---|
{table}

Wanted, at 1,000 peers and with two threads: `messages` 2,500 per second, at 10,000 peers at most
{GROWTH_MAX} times the cost; `rounds` 40,000 with the mean and 20,000 with the trimmed mean; 10,000
peers in 2 GiB; {ADAPTER_PEERS} peers with LoRA on MiniLM in 6 GiB. Missed: {targets}.

Machine: {", ".join(f"{key} {value}" for key, value in machine.items())}.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the section or print it; 0 if every target is met and nothing failed.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--way", action="append", choices=list(ALL_WAYS), help="repeatable")
    parser.add_argument("--peers", action="append", type=int, choices=list(ROUNDS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    add_option(parser)
    options = parser.parse_args(arguments)
    if options.cell is not None:
        print(json.dumps(measure_here(*json.loads(options.cell))))
        return 0
    ways, sizes = options.way or list(ALL_WAYS), options.peers or list(ROUNDS)
    cells = read_record(RECORD, versions())
    failures = measure_missing(ways, sizes, options.threads, cells)
    whole = {
        (way, peers, options.threads): turns_of(way, peers)
        for way in ALL_WAYS
        for peers in ROUNDS
        if is_measured(way, peers)
    }
    count = sum(max(turns - len(cells.get(key, ())), 0) for key, turns in whole.items())
    publish(
        TITLE,
        section(cells, options.threads),
        lacks=f"{count} of {sum(whole.values())} measurements are missing" if count else "",
        is_wanted=options.document,
    )
    misses = missed(cells, options.threads)
    for line in misses:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if failures or misses else 0


if __name__ == "__main__":
    sys.exit(main())
