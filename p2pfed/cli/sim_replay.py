"""`p2pfed sim replay` and `p2pfed sim trace-diff`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from p2pfed.cli.output import EXIT_FAILED, EndedError, Json, Output, examples, facts, text_of

if TYPE_CHECKING:
    from sim.replaying import Replay
    from sim.trace_lines import Entry, Parting

_NANOSECONDS_PER_SECOND = 1e9


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "replay",
        epilog=examples(
            "p2pfed sim replay results", "p2pfed sim replay results --trace first.jsonl --json"
        ),
    )(replay)
    app.command("trace-diff", epilog=examples("p2pfed sim trace-diff first.jsonl second.jsonl"))(
        trace_diff
    )


def replay(
    folder: Annotated[Path, typer.Argument(help="That p2pfed sim run --out wrote.")],
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its trace. Default: trace.jsonl in the folder, if any."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a finished run again, and see whether everything is the same to the last bit.

    Ends with code 1 if not, and names the first event that differs if the run kept its trace. A
    trace that is not of the run differs, too.
    """
    from sim.replaying import replay as run_again

    output = Output(as_json=as_json)
    with output.waiting(f"replaying {folder}"):
        result = run_again(folder, trace=trace)
    found = {"folder": str(folder), **asdict(result)}
    output.result(found, lambda console: _show_replay(console, result))
    if not result.is_same:
        raise EndedError(EXIT_FAILED)


def trace_diff(
    first: Annotated[Path, typer.Argument(help="That p2pfed sim run --trace wrote.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Show the first event in which two traces differ, with what is around it.

    Ends with code 1 if there is one.
    """
    from sim.trace_lines import parting_of, read_trace

    parting = parting_of(read_trace(first), read_trace(second))
    found = {
        "first": str(first),
        "second": str(second),
        "is_same": parting is None,
        "parting": None if parting is None else asdict(parting),
    }
    Output(as_json=as_json).result(found, lambda console: _show_diff(console, parting))
    if parting is not None:
        raise EndedError(EXIT_FAILED)


def _show_replay(console: Console, result: "Replay") -> None:
    rows: dict[str, object] = {"same": result.is_same, "trace_digest": result.recorded}
    if not result.is_same:
        rows["trace_digest_now"] = result.now
        rows["what_differs"] = list(result.fields) or "the trace alone"
        rows["versions_then_and_now"] = [
            f"{name}: {text_of(then)} -> {text_of(now)}"
            for name, (then, now) in result.programs.items()
        ]
    if result.files:
        rows["files_that_changed"] = list(result.files)
    console.print(facts(rows))
    if result.parting is not None:
        _show_diff(console, result.parting)
        if not result.fields:
            console.print("the result is the same: the trace is of another run, or was changed")
    elif not result.is_same and not result.has_trace:
        console.print("to see the first event that differs, keep the trace: sim run --trace FILE")


def _show_diff(console: Console, parting: "Parting | None") -> None:
    if parting is None:
        console.print("the traces are the same")
        return
    console.print(f"the traces part at event {parting.number}")
    _print_entries(console, " ", parting.before)
    _print_entries(console, "-", parting.first)
    _print_entries(console, "+", parting.second)


def _print_entries(console: Console, mark: str, entries: "Sequence[Entry]") -> None:
    for it in entries:
        at_s = it["at_ns"] / _NANOSECONDS_PER_SECOND
        console.print(
            f"{mark} {it['number']} {at_s:.9f} s peer {it['peer']} {it['name']} "
            f"{it['content']} {it['what']}"
        )
    if not entries and mark != " ":
        console.print(f"{mark} ends here")
