"""`p2pfed doctor`: what on this machine is not as p2pfed needs it."""

from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from p2pfed.cli.output import EXIT_FAILED, EndedError, Json, Output, examples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=examples("p2pfed doctor", "p2pfed doctor --json"))(doctor)


def doctor(as_json: Json = False) -> None:
    """Check installation, libraries, data and network of this machine; say what to mend."""
    from p2pfed.cli.checks import State, check_all

    output = Output(as_json=as_json)
    with output.waiting("checking"):
        checks = check_all()
    is_healthy = all(check.state is not State.WRONG for check in checks)
    found = {"healthy": is_healthy, "checks": [asdict(check) for check in checks]}

    def show(console: Console) -> None:
        table = Table(box=None, padding=(0, 2), pad_edge=False, show_header=False)
        styles = {State.OK: "green", State.NOTE: "yellow", State.WRONG: "bold red"}
        for check in checks:
            text = check.found if not check.fix else f"{check.found}\n-> {check.fix}"
            table.add_row(Text(check.state, style=styles[check.state]), check.name, text)
        console.print(table)
        console.print("all is well" if is_healthy else "something is wrong: see the arrows")

    output.result(found, show)
    if not is_healthy:
        raise EndedError(EXIT_FAILED)
