"""`p2pfed sim sweep`."""

import gc
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from p2pfed.cli.choices import assignment_of, parse_choices, parse_seeds
from p2pfed.cli.output import EXIT_FAILED, EndedError, Json, Output, examples, size_of
from p2pfed.cli.sim_progress import bars, error_console
from p2pfed.cli.sim_tables import print_table

if TYPE_CHECKING:
    from sim.sweeps.jobs import Ended
    from sim.sweeps.plan import Cell
    from sim.sweeps.running import Row, SweepResult

    Progress = Callable[[Ended], None]

_HEADINGS: Final = {
    "mean_accuracy": "mean accuracy",
    "worst_accuracy": "worst accuracy",
    "tested": "tested",
    "hostile_weight_mass": "hostile mass",
    "finished": "finished",
    "failed": "failed",
    "virtual_s": "virtual s",
    "bytes_per_peer": "bytes per peer",
}


class EngineName(StrEnum):
    """Where cells run."""

    PROCESSES = "processes"
    RAY = "ray"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "sweep",
        epilog=examples(
            "p2pfed sim sweep scenario.toml --set integration.rule=mean,median --seeds 0..4 "
            "--out rules",
            "p2pfed sim sweep scenario.toml --settings list.toml --seeds 0,1 --jobs 2 --out two",
            "p2pfed sim sweep scenario.toml --set topology.degree=2,4 --out degrees --list",
        ),
    )(sweep)


def sweep(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.")],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Keeps a run folder per cell; what is done there stays."),
    ],
    choice: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=V1,V2", help="Values of a field; all combinations are taken."
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="A list of settings: a table [[settings]] each."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Such as 0..4 or 0,3,7..9.")] = "0",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many cells run at once. Default: one per core.")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="ray: on a cluster; needs the extra p2pfed[ray].")
    ] = EngineName.PROCESSES,
    only_list: Annotated[
        bool,
        typer.Option("--list", help="Print a command for each cell that is not done, run none."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a scenario with other values of fields and several seeds.

    Cells that are done already are left out, so that the same command goes on after Ctrl-C.
    """
    from sim.sweeps.plan import load_settings, load_varied, plan_cells, plan_settings
    from sim.sweeps.running import sweep as run_sweep

    output = Output(as_json=as_json)
    grid = parse_choices(choice or (), option="set")
    listed = [{}] if settings is None else load_settings(settings)
    base = load_varied(scenario, grid=grid, settings=listed)
    numbers = parse_seeds(seeds)
    cells = plan_cells(plan_settings(base, grid=grid, settings=listed), numbers, out)
    if only_list:
        _list(output, scenario, _left(cells, scenario, out))
        return

    def run_all(progress: "Progress") -> "SweepResult":
        return run_sweep(
            base,
            out,
            grid=grid,
            settings=listed,
            seeds=numbers,
            jobs=jobs or len(os.sched_getaffinity(0)),
            engine=engine.value,
            progress=progress,
        )

    result = _watched(cells, len(_left(cells, scenario, out)), run_all)
    found = {**result.to_json_object(), "folder": str(out), "skipped": result.skipped}
    output.result(found, lambda console: _show(console, result))
    if result.has_failed:
        raise EndedError(EXIT_FAILED)


def _left(cells: Sequence["Cell"], scenario: Path, out: Path) -> list["Cell"]:
    """Return the cells that are not done, where they write over nothing that no run wrote."""
    from sim.run_folder import check_folder, check_sweep_folder

    check_sweep_folder(out, field="out")
    left = [cell for cell in cells if not cell.is_done()]
    for cell in left:
        check_folder(cell.folder, [scenario, *map(Path, cell.setting.files)], field="out")
    return left


def _watched(
    cells: Sequence["Cell"], left: int, run_all: "Callable[[Progress], SweepResult]"
) -> "SweepResult":
    """Run a sweep and show how far it is; say what is done if it is interrupted."""
    with _bar(len(cells), len(cells) - left) as display, suppress(KeyboardInterrupt):
        return run_all(display.take)
    failed = f", {display.failed} failed" if display.failed else ""
    display.say(f"{display.done} of {len(cells)} cells are done{failed}; the same command goes on")
    # The program ends without the interpreter's own way out, which would close the queues.
    gc.collect()
    raise KeyboardInterrupt


class _Display:
    """What people see while cells run, on standard error."""

    def __init__(self, console: Console, progress: Bar, total: int, done: int) -> None:
        self.done = done
        self.failed = 0
        self._console = console
        self._progress = progress
        self._total = total
        self._task = progress.add_task("cells", total=total, completed=done)

    def take(self, ended: "Ended") -> None:
        """Take that a cell came to its end."""
        name = f"{ended.cell.setting.name}, seed {ended.cell.seed}"
        self.done += ended.error is None
        self.failed += ended.error is not None
        self._progress.advance(self._task)
        place = f"{self.done + self.failed} of {self._total}"
        if ended.error is not None:
            self.say(f"{place} failed: {name}: {ended.error}")
        elif not self._console.is_terminal:
            self.say(f"{place}: {name}")

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text)


@contextmanager
def _bar(total: int, done: int) -> Iterator[_Display]:
    console = error_console()
    with bars(console) as progress:
        yield _Display(console, progress, total, done)


def _list(output: Output, scenario: Path, cells: Sequence["Cell"]) -> None:
    from sim.sweeps.fitting import check_fits

    check_fits(cells)
    commands = [shlex.join(_command(scenario, cell)) for cell in cells]

    def show(console: Console) -> None:
        for command in commands:
            console.print(command)

    output.result({"commands": commands}, show)


def _command(scenario: Path, cell: "Cell") -> list[str]:
    """Return the words that run a cell by themselves, from anywhere, to where the sweep looks."""
    from sim.documents import value_of

    words = ["p2pfed", "sim", "run", str(scenario.resolve()), "--seed", str(cell.seed)]
    # Threads in any case: what a scenario leaves to torch, a sweep does not.
    for field in dict.fromkeys((*cell.setting.overrides, "training.threads")):
        # As the document has it, where paths are whole.
        words += ["--set", assignment_of(field, value_of(cell.setting.document, field))]
    return [*words, "--out", str(cell.folder.resolve())]


def _show(console: Console, result: "SweepResult") -> None:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for heading in ("setting", "seeds", *_HEADINGS.values()):
        table.add_column(heading)
    for row in result.rows:
        name = _name(row)
        cells = [_spread(measure, row.measures[measure]) for measure in _HEADINGS]
        table.add_row(name, str(len(row.seeds)), *cells)
    print_table(console, table)
    console.print("mean ± standard deviation over seeds")
    for row in result.rows:
        if row.warned is not None:
            console.print(f"warning: {_name(row)}: {row.warned}")
        if row.gave_up:
            console.print(f"failed: {_name(row)}: peers gave up in runs of seeds {_seeds(row)}")
    if result.left_over:
        names = ", ".join(result.left_over)
        console.print(f"not of this sweep, and left in its folder: {names}")
    if result.programs:
        console.print(f"warning: results are of several programs: {', '.join(result.programs)}")
    if result.failed:
        count = len(result.failed)
        console.print(f"{count} cells failed; the same command tries them again")


def _name(row: "Row") -> str:
    fields = [assignment_of(*it) for it in row.setting.overrides.items()]
    return ", ".join(fields) or "as written"


def _seeds(row: "Row") -> str:
    return ", ".join(map(str, row.gave_up))


def _spread(measure: str, found: Any) -> str:
    if found is None:
        return "-"
    show = (lambda it: size_of(round(it))) if measure == "bytes_per_peer" else _number
    if found.deviation is None:
        return show(found.mean)
    return f"{show(found.mean)} ± {show(found.deviation)}"


def _number(value: float) -> str:
    return f"{value:.4g}"
