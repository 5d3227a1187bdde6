"""Progress bars of simulations, on standard error; nothing where that is no terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Tell = Callable[[int, int | None, float | None], None]


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
    with bars(error_console()) as progress:
        task = progress.add_task("rounds", total=None)

        def tell(done: int, total: int | None, at_s: float | None) -> None:
            text = "rounds" if at_s is None else f"rounds, {at_s:.0f} virtual s"
            progress.update(task, completed=done, total=total, description=text)

        yield tell
