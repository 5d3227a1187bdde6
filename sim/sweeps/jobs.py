"""Running the cells of a sweep: here, or on processes of this machine."""

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from p2pfed.errors import LocalError
from sim.run_folder import run_into
from sim.sweeps.plan import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A cell that came to its end.

    Attributes:
        cell: Which.
        error: Why it has no result, or None.
    """

    cell: Cell
    error: str | None


# Yields cells as they end. Whoever closes it early ends what runs; what is done is kept.
Engine = Callable[[Sequence[Cell], int], Generator[Ended, None, None]]


def play(cell: Cell) -> str | None:
    """Simulate a cell into its run folder; return what went wrong, or None."""
    try:
        run_into(cell.folder, dict(cell.setting.document), seed=cell.seed)
    except Exception as error:  # the edge to users' tasks: the other cells go on
        return f"{type(error).__name__}: {error}"
    return None


def run_on_processes(cells: Sequence[Cell], count: int) -> Generator[Ended, None, None]:
    """Run cells on processes of this machine.

    Args:
        cells: What to run.
        count: How many processes at once; with one, cells run in this process.

    Raises:
        LocalError: If a process ended before its cell did.
    """
    if count == 1 or len(cells) <= 1:
        for cell in cells:
            yield Ended(cell=cell, error=play(cell))
        return
    with _pool(min(count, len(cells))) as pool:
        waiting: dict[Future[str | None], Cell] = {pool.submit(play, it): it for it in cells}
        try:
            for done in as_completed(waiting):
                yield Ended(cell=waiting[done], error=done.result())
        except BrokenProcessPool as error:
            fix = "give fewer --jobs; what is done is kept, and the same command goes on"
            raise LocalError(f"a process ended in the middle, of memory perhaps: {fix}") from error


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Return a pool whose processes end with the block, whatever they are doing."""
    others = set(multiprocessing.active_children())
    # A forked copy of a process that has used torch may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        pool.shutdown(cancel_futures=True)
        raise


def _begin() -> None:
    # Ctrl-C reaches every process of a terminal. The one that was started decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
