"""`p2pfed sim compare`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from p2pfed.cli.output import Json, Output, examples, text_of
from p2pfed.cli.sim_tables import print_table

if TYPE_CHECKING:
    from sim.comparing import Comparison


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "compare",
        epilog=examples(
            "p2pfed sim compare rules/integration.rule=mean rules/integration.rule=median",
            "p2pfed sim compare before after --confidence 0.99",
        ),
    )(compare)


def compare(
    first: Annotated[Path, typer.Argument(help="A run folder, a setting of a sweep, or a sweep.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same seeds.")],
    confidence: Annotated[float, typer.Option(help="Of the intervals, below 1.")] = 0.95,
    as_json: Json = False,
) -> None:
    """Show by how much the second results differ from the first, seed by seed.

    The interval is Student's t of the mean difference between runs of the same seed.
    """
    from sim.comparing import compare as compare_runs

    comparisons = compare_runs(first, second, confidence=confidence)
    found = {
        "first": str(first),
        "second": str(second),
        "confidence": confidence,
        "interval": "student-t",
        "comparisons": [asdict(it) for it in comparisons],
    }
    output = Output(as_json=as_json)
    output.result(found, lambda console: _show(console, comparisons, confidence))


def _show(console: Console, comparisons: Sequence["Comparison"], confidence: float) -> None:
    for comparison in comparisons:
        if comparison.name:
            console.print(comparison.name)
        for field, (one, two) in comparison.changed.items():
            console.print(f"{field}: {text_of(one)} -> {text_of(two)}")
        for side, said in zip(("first", "second"), comparison.warnings, strict=True):
            if said is not None:
                console.print(f"warning: {side}: {said}")
        table = Table(box=None, padding=(0, 2), pad_edge=False)
        interval = f"{100.0 * confidence:.4g} % interval"
        for heading in ("measure", "first", "second", "difference", interval, "pairs"):
            table.add_column(heading)
        for it in comparison.differences:
            ends = "-" if it.low is None or it.high is None else f"{it.low:+.4g} to {it.high:+.4g}"
            numbers = (text_of(it.first), text_of(it.second), f"{it.difference:+.4g}", ends)
            table.add_row(it.measure.replace("_", " "), *numbers, str(it.pairs))
        print_table(console, table)
