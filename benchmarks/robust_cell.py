"""One measurement of `make bench-robust`, in a process of its own.

    python -m benchmarks.robust_cell '{"kind": "time", "name": "krum", "dimension": 100000, ...}'

Prints one JSON object. `benchmarks.robust_speed` starts it.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory import extra_peak_bytes
from benchmarks.robust_pairs import PAIRS, ROW_COUNT, Call, Pair
from robust.compiled import COLUMNS_MIN

SEED = 0
SAMPLE_S_MIN = 0.02  # shorter samples would measure the clock
REPEATS_MIN = 3
REPEATS_MAX = 9
WARM_UP_DIMENSION = 1_000


def make_vectors(pair: Pair, dimension: int) -> Tensor:
    """Make the rows, shape (n, d), float32, or int64 if they are ranks."""
    generator = torch.Generator().manual_seed(SEED)
    if pair.reads_ranks:
        rows = [torch.randperm(dimension, generator=generator) for _ in range(ROW_COUNT)]
        return torch.stack(rows)
    return torch.randn(ROW_COUNT, dimension, generator=generator)


def floors(vectors: Tensor) -> dict[str, Callable[[], object]]:
    """Return what no rule can undercut: reading every row, weighing it, and inner products."""
    weights = torch.full((ROW_COUNT,), 1 / ROW_COUNT)
    return {
        "sum": lambda: vectors.sum(),
        "weighted-sum": lambda: weights @ vectors,
        "gram": lambda: vectors @ vectors.T,
    }


def measure_time(
    pair: Pair, *, dimension: int, threads: int, seconds_max: float, with_byzfl: bool
) -> dict[str, Any]:
    """Let both sides and the floors take turns; return CPU and wall seconds per call of each.

    Beside them, for our side, `first_cpu_s`: those of the first call, in which it may compile.
    """
    torch.set_num_threads(threads)
    vectors = make_vectors(pair, dimension)
    turns = floors(vectors.to(torch.float32))
    turns["ours"] = _bound(pair.ours(), vectors)
    if with_byzfl:
        turns["byzfl"] = _bound(pair.theirs(), vectors)
    first_cpu_s, _ = _sample(turns["ours"], 1)
    begin = time.perf_counter()
    # This call warms caches and says how many calls one sample needs.
    calls = {name: 1 + int(SAMPLE_S_MIN / _sample(turn, 1)[1]) for name, turn in turns.items()}
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for repeat in range(REPEATS_MAX):
        if repeat >= REPEATS_MIN and time.perf_counter() - begin > seconds_max:
            break
        for name, turn in turns.items():
            samples[name].append(_sample(turn, calls[name]))
    found: dict[str, Any] = {
        name: {"cpu_s": [cpu for cpu, _ in taken], "wall_s": [wall for _, wall in taken]}
        for name, taken in samples.items()
    }
    found["ours"]["first_cpu_s"] = first_cpu_s
    return found


def measure_memory(pair: Pair, *, dimension: int, side: str) -> dict[str, Any]:
    """Return how far one call raises the process's peak, its result included, in bytes."""
    torch.set_num_threads(1)
    make_call = pair.ours if side == "ours" else pair.theirs
    make_call()(_warm_up_vectors(pair))  # loads what is loaded on first use, and compiles
    call = make_call()
    vectors = make_vectors(pair, dimension)
    begin = time.perf_counter()
    peak_bytes = extra_peak_bytes(lambda: call(vectors))
    return {"extra_bytes": peak_bytes, "wall_s": time.perf_counter() - begin}


def choose_compiler(pair: Pair) -> None:
    """Hide numba from this process, or make sure that it is there.

    Raises:
        ModuleNotFoundError: If it is wanted and not installed.
    """
    if not pair.is_compiled:
        sys.modules["numba"] = None  # to import it now fails
    elif find_spec("numba") is None:
        raise ModuleNotFoundError(f"{pair.title} needs numba, which `make setup` installs")


def _warm_up_vectors(pair: Pair) -> Tensor:
    vectors = make_vectors(pair, WARM_UP_DIMENSION)
    if not pair.is_compiled:
        return vectors
    # As many as it takes to compile, in the memory of one: more would be left to use again.
    return vectors[:, :1].expand(ROW_COUNT, COLUMNS_MIN)


def _bound(call: Call, vectors: Tensor) -> Callable[[], object]:
    return lambda: call(vectors)


def _sample(turn: Callable[[], object], calls: int) -> tuple[float, float]:
    """Return (CPU, wall) seconds per call."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        turn()
    return (time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls


def main() -> None:
    """Run the one measurement that the argument describes."""
    job = json.loads(sys.argv[1])
    pair = {pair.title: pair for pair in PAIRS}[job.pop("name")]
    choose_compiler(pair)
    measure = {"time": measure_time, "memory": measure_memory}[job.pop("kind")]
    print(json.dumps(measure(pair, **job)))


if __name__ == "__main__":
    main()
