"""`p2pfed demo`: the registration; the demonstration itself is in `p2pfed.demo`."""

import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from p2pfed.cli.output import Json, Output, examples

_FOLDER = "p2pfed-demo"


class Hostile(StrEnum):
    """How many peers attack."""

    NONE = "none"
    ONE = "one"


class Schedule(StrEnum):
    """How rounds are scheduled."""

    SYNCHRONOUS = "synchronous"
    ASYNCHRONOUS = "asynchronous"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "demo",
        epilog=examples(
            "p2pfed demo", "p2pfed demo --task digits --json", "p2pfed demo --rule mean --seed 1"
        ),
    )(demo)


def demo(
    peers: Annotated[int, typer.Option(help="How many processes.")] = 8,
    hostile: Annotated[Hostile, typer.Option(help="How many of them attack.")] = Hostile.ONE,
    rule: Annotated[str, typer.Option(help="Rule of integration; mean shows a collapse.")] = (
        "trimmed-mean"
    ),
    task: Annotated[str, typer.Option(help="reuters (a transformer), or digits.")] = "reuters",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    rounds: Annotated[int | None, typer.Option(help="Rounds. Default: the task's.")] = None,
    schedule: Annotated[Schedule, typer.Option(help="How rounds are scheduled.")] = (
        Schedule.SYNCHRONOUS
    ),
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Where all is kept. Default: a new {_FOLDER}."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let real peers on this machine learn together while one of them attacks.

    Each peer is a process with texts of its own, reached over libp2p. At the end stands what every
    peer reaches alone and together.
    """
    from p2pfed.cli.demo_display import DemoDisplay, show_result
    from p2pfed.demo.options import DemoOptions
    from p2pfed.demo.running import run_demo

    options = DemoOptions(
        peers=peers,
        hostile={Hostile.NONE: 0, Hostile.ONE: 1}[hostile],
        rule=rule,
        task=task,
        seed=seed,
        rounds=rounds,
        mode=schedule.value,
        folder=out or _new_folder(),
    )
    output = Output(as_json=as_json)
    # As Ctrl-C, so that no peer outlives the demonstration.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with DemoDisplay(output) as display:
        result = run_demo(options, progress=display.take)
    output.result(result.to_json_object(), lambda console: show_result(console, result))
    if result.lost:
        raise typer.Exit(1)


def _new_folder() -> Path:
    """Return the first folder of our name that does not exist, so that the demo can be repeated."""
    number, folder = 1, Path(_FOLDER)
    while folder.exists():
        number += 1
        folder = Path(f"{_FOLDER}-{number}")
    return folder
