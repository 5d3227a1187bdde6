"""Progress of simulations, on standard error: bars, or lines where that is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Tell = Callable[[int, int | None, float | None], None]

_LINE_EVERY_S: Final = 60.0  # a log of a night has some hundred lines


def error_console() -> Console:
    """Return standard error as people read it: nothing in a text is markup, no line is cut."""
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def bars(console: Console) -> Progress:
    """Return a display of bars."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def rounds_bar() -> Iterator[Tell]:
    """Show the rounds of one simulation; yields what a `sim.progress.RoundsMeter` tells."""
    console = error_console()
    if not console.is_terminal:
        yield rounds_lines(console, time.monotonic)
        return
    with bars(console) as progress:
        task = progress.add_task("rounds", total=None)

        def tell(done: int, total: int | None, at_s: float | None) -> None:
            text = "rounds" if at_s is None else f"rounds, {at_s:.0f} virtual s"
            progress.update(task, completed=done, total=total, description=text)

        yield tell


def rounds_lines(console: Console, clock_s: Callable[[], float]) -> Tell:
    """Return what prints how many rounds are over, a line a minute at most.

    Args:
        console: Where to.
        clock_s: A clock of this machine, in seconds.
    """
    due_s = clock_s() + _LINE_EVERY_S

    def tell(done: int, total: int | None, at_s: float | None) -> None:
        nonlocal due_s
        if clock_s() < due_s:
            return
        due_s = clock_s() + _LINE_EVERY_S
        of_all = "" if total is None else f" of {total}"
        when = "" if at_s is None else f", {at_s:.0f} virtual s"
        console.print(f"{done}{of_all} rounds{when}")

    return tell
