"""How fast the payload codecs are, how small, how precise, and how often they copy their input.

    make bench-updates                                    # all of them: about a minute
    .venv/bin/python -m benchmarks.codec_speed --name int4    # printed only

Every codec is measured in a process of its own, in turns with the plain library call that does the
bulk of its work.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.codec_pairs import PAIRS, Pair
from benchmarks.document import add_option, publish
from benchmarks.memory import extra_peak_bytes
from benchmarks.transfer import describe_machine

ROOT = Path(__file__).parents[1]
TITLE = "Codecs"
VALUES = 16_000_000
THREADS = 2
REPEATS = 7
WARM_UP_VALUES = 10_000
COPIES_MAX = 2.0
CELL_S_MAX = 300.0
_DIRECTIONS = ("encode", "decode")


def make_vector(size: int) -> Tensor:
    """Make what differences of weights look like: Gaussian values of about 10^-3."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)) * 1e-3


def measure_time(pair: Pair, size: int) -> dict[str, Any]:
    """Return wall and CPU seconds of each call, and how small and precise the encoding is."""
    torch.set_num_threads(THREADS)
    vector, codec = make_vector(size), pair.codec
    data = codec.encode(vector)
    turns = {
        "encode": lambda: codec.encode(vector),
        "decode": lambda: codec.decode(data, size),
        **dict(zip(("plain encode", "plain decode"), pair.make_plain(vector), strict=True)),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for _ in range(REPEATS):
        for name, turn in turns.items():
            wall, cpu = time.perf_counter(), time.process_time()
            turn()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    error = float((codec.decode(data, size) - vector).norm() / vector.norm())
    return {
        "wall_s": {name: [wall for wall, _ in turns] for name, turns in taken.items()},
        "cpu_s": {name: [cpu for _, cpu in turns] for name, turns in taken.items()},
        "bits_per_value": 8 * len(data) / size,
        "relative_error": error,
        "machine": describe_machine(),
    }


def measure_memory(pair: Pair, size: int) -> dict[str, Any]:
    """Return how far each direction raises the peak, its result included, in sizes of the input."""
    codec, small = pair.codec, make_vector(WARM_UP_VALUES)
    codec.decode(codec.encode(small), WARM_UP_VALUES)  # loads what is loaded on first use
    vector = make_vector(size)
    encode = extra_peak_bytes(lambda: codec.encode(vector)) / vector.nbytes
    data = codec.encode(vector)
    decode = extra_peak_bytes(lambda: codec.decode(data, size)) / vector.nbytes
    return {"copies": {"encode": encode, "decode": decode}}


def run_cell(pair: Pair, size: int) -> dict[str, Any]:
    """Measure time and memory, each in a process of its own."""
    found: dict[str, Any] = {}
    for kind in _MEASURES:
        job = json.dumps({"kind": kind, "title": pair.title, "size": size})
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.codec_speed", "--cell", job],
            check=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(THREADS)} | _ENVIRONMENTS[kind],
            stdout=subprocess.PIPE,
            text=True,
            timeout=CELL_S_MAX,
        )
        found |= json.loads(done.stdout)
    print(f"{pair.title}: done", file=sys.stderr, flush=True)
    return found


_MEASURES = {"time": measure_time, "memory": measure_memory}
# What is freed goes back at once (mallopt(3)), so that no call lives on what another one left.
_ENVIRONMENTS = {"time": {}, "memory": {"MALLOC_MMAP_THRESHOLD_": "65536"}}


def speeds(found: dict[str, Any], name: str, size: int, clock: str = "wall_s") -> list[float]:
    """Return megabytes of float32 per second, turn by turn."""
    return [4 * size / 1e6 / taken for taken in found[clock][name]]


def missed(pair: Pair, found: dict[str, Any], size: int) -> Iterator[str]:
    """Say which requirements a codec does not meet."""
    for name in _DIRECTIONS:
        reached = statistics.median(speeds(found, name, size))
        if pair.mb_per_s_min is not None and reached < pair.mb_per_s_min:
            yield f"`{pair.title}`: {name} {reached:.0f} MB/s, wanted {pair.mb_per_s_min:.0f}"
        if found["copies"][name] > COPIES_MAX:
            yield f"`{pair.title}`: {name} takes {found['copies'][name]:.1f} times its input"


def section(cells: Sequence[tuple[Pair, dict[str, Any]]], size: int) -> str:
    """Return the text of the section."""
    rows = "\n".join(_row(pair, found, size) for pair, found in cells)
    complaints = [words for pair, found in cells for words in missed(pair, found, size)]
    verdict = "Not met: " + "; ".join(complaints) + "." if complaints else "All are met."
    machine = {**cells[0][1]["machine"], **{name: version(name) for name in _LIBRARIES}}
    return f"""
Written by `make bench-updates`: {size:,} Gaussian values, {THREADS} threads, {REPEATS} turns of
each call. Speeds are megabytes (10^6 bytes) of float32 per second, the median and in brackets the
least and the most; the last of each cell is per second of CPU time. Beside them stands the plain
library call that does the bulk of the work, without headers, checks and the other steps. Copies
are how far one call raises the peak memory of its process, the result included, over the size of
the vector: of encoding, and of decoding.

| codec | bits per value | relative error | encode MB/s | decode MB/s | plain call | its encode | its decode | copies |
|---|---|---|---|---|---|---|---|---|
{rows}

Wanted: `bfloat16` and `int8` at least 500 MB/s, `int4` at least 250, and no more than
{COPIES_MAX:g} copies. {verdict}

Machine: {", ".join(f"{key} {value}" for key, value in machine.items())}.
"""  # noqa: E501 - a row of a table


_LIBRARIES = ("numpy", "torch", "zstandard")


def _row(pair: Pair, found: dict[str, Any], size: int) -> str:
    def show(name: str) -> str:
        taken = speeds(found, name, size)
        per_cpu_s = statistics.median(speeds(found, name, size, "cpu_s"))
        spread = f"({min(taken):.0f} to {max(taken):.0f})"
        return f"{statistics.median(taken):.0f} {spread}, {per_cpu_s:.0f}"

    cells = [
        f"`{pair.title}`",
        f"{found['bits_per_value']:.2f}",
        f"{found['relative_error']:.2g}",
        *(show(name) for name in _DIRECTIONS),
        pair.plain,
        *(show(f"plain {name}") for name in _DIRECTIONS),
        ", ".join(f"{found['copies'][name]:.1f}" for name in _DIRECTIONS),
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the section or print it; 0 if every requirement is met.

    Args:
        arguments: Those of the command line; None for the process' own.
    """
    names = list(dict.fromkeys(pair.codec.name for pair in PAIRS))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", action="append", choices=names, help="only this; repeatable")
    parser.add_argument("--values", type=int, default=VALUES, help="size of the vector")
    add_option(parser)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cell:
        job = json.loads(options.cell)
        by_title = {pair.title: pair for pair in PAIRS}
        print(json.dumps(_MEASURES[job["kind"]](by_title[job["title"]], job["size"])))
        return 0
    chosen = [pair for pair in PAIRS if pair.codec.name in (options.name or names)]
    cells = [(pair, run_cell(pair, options.values)) for pair in chosen]
    lacks = "only some codecs were measured" if options.name else ""
    if options.values != VALUES:
        lacks = f"vectors had {options.values:,} values and not {VALUES:,}"
    body = section(cells, options.values)
    publish(TITLE, body, lacks=lacks, is_wanted=options.document)
    return 1 if any(list(missed(pair, found, options.values)) for pair, found in cells) else 0


if __name__ == "__main__":
    sys.exit(main())
