"""How fast a SeedLedger becomes weights, beside copying them and beside replaying seeds.

    make bench-updates
    .venv/bin/python -m benchmarks.seed_ledger_speed --no-document

All ways take turns in one process. What is wanted of two threads stands in WANTED.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.document import add_option, publish
from benchmarks.transfer import describe_machine
from p2pfed.updates.seed_ledger import compiled
from p2pfed.updates.seed_ledger.basis import Basis
from p2pfed.updates.seed_ledger.weights import materialize

TITLE = "SeedLedger"
SIZE = 2**24
DIRECTION_COUNTS = (1_024, 4_096)
THREADS = (1, 2)
TURNS = 7
FRACTION_BITS = 24
# Million parameters per second, K = 4,096, two threads, into memory that is there.
WANTED = {"numba": 400.0, "torch": 80.0}
_COLUMNS = "| way | million parameters/s | share of the floor | per CPU second |"

Samples = dict[str, list[tuple[float, float]]]


def ways(direction_count: int, start: Tensor) -> dict[str, Callable[[], object]]:
    """Return what takes turns: each makes the weights once, but replay, which adds one seed."""
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randint(-3_000, 3_001, (direction_count,), generator=generator)
    layers = [(Basis(key=5, direction_count=direction_count, size=SIZE), coefficients)]
    weights, noise = torch.empty_like(start), torch.empty_like(start)

    def by_torch() -> None:
        with mock.patch.object(compiled, "is_available", return_value=False):
            materialize(start, layers, FRACTION_BITS, out=weights)

    def replay_one() -> None:
        generator.manual_seed(7)
        torch.randn(SIZE, generator=generator, out=noise)
        weights.add_(noise, alpha=1e-3)

    return {
        "numba": lambda: materialize(start, layers, FRACTION_BITS, out=weights),
        "numba, new memory": lambda: materialize(start, layers, FRACTION_BITS),
        "torch": by_torch,
        "copy": lambda: weights.copy_(start),
        "replay": replay_one,
    }


def measure(direction_count: int, threads: int) -> Samples:
    """Let all ways take turns; return (wall, CPU) seconds of each call."""
    torch.set_num_threads(threads)
    start = torch.randn(SIZE, generator=torch.Generator().manual_seed(1))
    turns = ways(direction_count, start)
    samples: Samples = {name: [] for name in turns}
    for turn in range(TURNS + 1):
        for name, call in turns.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken = time.perf_counter() - wall, time.process_time() - cpu
            if turn:  # the first one compiles and warms caches
                samples[name].append(taken)
    return samples


def speed(samples: list[tuple[float, float]]) -> float:
    """Return million values per second of wall time, by the median."""
    return SIZE / statistics.median(wall for wall, _ in samples) / 1e6


def row(name: str, samples: Samples, direction_count: int) -> str:
    """Return a way's line of the table."""
    share = speed(samples[name]) / speed(samples["copy"])
    found = samples[name]
    walls = sorted(wall for wall, _ in found)
    cpu_s = statistics.median(cpu for _, cpu in found)
    each = f"{speed(found):,.0f} ({SIZE / walls[-1] / 1e6:,.0f} to {SIZE / walls[0] / 1e6:,.0f})"
    if name == "replay":  # of one seed; a model takes all of them
        each = f"{speed(found) / direction_count:.3f}"
        share /= direction_count
    return f"| {name} | {each} | {_percent(share)} | {SIZE / cpu_s / 1e6:,.0f} |"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{share:.4%}"


def section(found: dict[tuple[int, int], Samples]) -> str:
    """Return the section's text."""
    parts = [
        f"""
A model of {SIZE:,} parameters from K coefficients, in million parameters per second of wall time:
the median of {TURNS} turns, and the least and the most. `copy` is a copy of the weights, the floor
that memory sets. `replay` adds K seeds of `torch.randn` one after the other, as FedKSeed does,
computed from one of them; its bits depend on the machine. The last column is per second of CPU
time; there `replay` is that of one seed. Wanted, K = 4,096 and two threads: at least
{WANTED["numba"]:.0f} with numba, {WANTED["torch"]:.0f} without.
"""
    ]
    for (direction_count, threads), samples in found.items():
        lines = [row(name, samples, direction_count) for name in samples]
        title = f"K = {direction_count:,}, {threads} thread{'s' if threads > 1 else ''}:"
        parts.append("\n".join([title, "", _COLUMNS, "|---|---|---|---|", *lines]))
    machine: dict[str, Any] = describe_machine()
    machine |= {name: version(name) for name in ("torch", "numba")}
    parts.append(f"Machine: {', '.join(f'{key} {value}' for key, value in machine.items())}.")
    return "\n\n".join(part.strip() for part in parts)


def main() -> int:
    """Measure and write the section; 0 if what is wanted is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_option(parser)
    options = parser.parse_args()
    if not compiled.is_available():
        print("numba is not there, or told not to compile: make setup", file=sys.stderr)
        return 1
    found = {
        (direction_count, threads): measure(direction_count, threads)
        for direction_count in DIRECTION_COUNTS
        for threads in THREADS
    }
    publish(TITLE, section(found), lacks="", is_wanted=options.document)
    wanted_of = found[DIRECTION_COUNTS[-1], THREADS[-1]]
    missed = [name for name, least in WANTED.items() if speed(wanted_of[name]) < least]
    for name in missed:
        print(f"missed: {name} {speed(wanted_of[name]):.0f}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
