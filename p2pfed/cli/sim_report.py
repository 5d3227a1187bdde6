"""`p2pfed sim report`."""

from pathlib import Path
from typing import Annotated

import typer

from p2pfed.cli.output import Json, Output, examples, facts, size_of
from p2pfed.cli.written_files import check_written


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "report",
        epilog=examples(
            "p2pfed sim report results", "p2pfed sim report results --out liars.html --json"
        ),
    )(report)


def report(
    folder: Annotated[Path, typer.Argument(help="That p2pfed sim run --out wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page. Default: report.html in the folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a run in one HTML page that needs no network; needs the extra p2pfed[report]."""
    from sim.report.page import REPORT_FILE, write_report

    check_written("out", out, ".html")
    path = folder / REPORT_FILE if out is None else out
    output = Output(as_json=as_json)
    with output.waiting(f"drawing {folder}"):
        write_report(folder, path)
    found = {"report": str(path), "bytes": path.stat().st_size}
    shown = {"report": str(path), "size": size_of(path.stat().st_size)}
    output.result(found, lambda console: console.print(facts(shown)))
