"""Running the cells of a sweep on Ray: this machine, or the cluster that RAY_ADDRESS names."""

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pfed.errors import LocalError, cannot_write
from sim.run_folder import RESULT_FILE, make_empty, run_into
from sim.sweeps.jobs import Ended
from sim.sweeps.plan import Cell

Files = dict[str, bytes]


def run_on_ray(cells: Sequence[Cell], count: int) -> Generator[Ended, None, None]:
    """Run cells as Ray tasks of one core each; run folders come back and are written here.

    Args:
        cells: What to run.
        count: How many at once: cores of the Ray that is started for this. A cluster that runs
            already decides by itself.

    Raises:
        LocalError: If Ray is not installed.
    """
    if not cells:
        return
    try:
        import ray
    except ModuleNotFoundError as error:
        fix = "python -m pip install 'p2pfed[ray]'"
        raise LocalError(f"--engine ray needs Ray; install it: {fix}") from error
    started = not ray.is_initialized()
    if started:
        _start(count)
    task = ray.remote(num_cpus=1, max_retries=1)(play_elsewhere)
    waiting = {task.remote(dict(cell.setting.document), cell.seed): cell for cell in cells}
    try:
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            cell = waiting.pop(done)
            try:
                trouble, files = ray.get(done)
            except ray.exceptions.RayError as error:
                trouble, files = f"{type(error).__name__}: {error}", {}
            write_folder(cell.folder, files)
            yield Ended(cell=cell, error=trouble)
    finally:
        for task_left in waiting:
            ray.cancel(task_left, force=True)
        if started:
            ray.shutdown()


def _start(count: int) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False)
    else:
        ray.init(num_cpus=count, include_dashboard=False, log_to_driver=False)


def play_elsewhere(document: Mapping[str, Any], seed: int) -> tuple[str | None, Files]:
    """Simulate into a folder of this machine; return what went wrong, or None, and the files."""
    trouble = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            run_into(folder, dict(document), seed=seed)
        except Exception as error:  # the edge to users' tasks: the other cells go on
            trouble = f"{type(error).__name__}: {error}"
        return trouble, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_folder(folder: Path, files: Files) -> None:
    """Write a run folder in place of an earlier one, its result last: whoever has that has all.

    Raises:
        LocalError: If it cannot be written.
    """
    make_empty(folder)
    try:
        for name in sorted(files, key=lambda name: (name == RESULT_FILE, name)):
            (folder / name).write_bytes(files[name])
    except OSError as error:
        raise cannot_write(folder, error) from error
