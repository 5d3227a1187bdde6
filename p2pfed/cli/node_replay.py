"""`p2pfed node replay`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from p2pfed.cli.output import EXIT_FAILED, EndedError, Json, Output, examples, facts
from p2pfed.errors import RemoteError

if TYPE_CHECKING:
    from p2pfed.node.replaying import Difference, RecordReplay

_CHARACTERS_MAX: Final = 2_000  # of an event or effect; a frame of 1 KiB and its meaning fit
_FRAMES: Final = ("FrameReceived", "SendFrame")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "replay",
        epilog=examples("p2pfed node replay peer.record", "p2pfed node replay peer.record --json"),
    )(replay)


def replay(
    record: Annotated[Path, typer.Argument(help="That p2pfed node run --record wrote.")],
    as_json: Json = False,
) -> None:
    """Feed what a node recorded through its protocol again, and compare what comes out.

    Ends with code 1 at the first effect that is not the same to the last byte, and shows the event
    and both effects.
    """
    from p2pfed.node.replaying import replay_record

    output = Output(as_json=as_json)
    with output.waiting(f"replaying {record}"):
        result = replay_record(record)
    found = {"record": str(record), "is_same": result.is_same, **asdict(result)}
    output.result(found, lambda console: _show(console, result))
    if not result.is_same:
        raise EndedError(EXIT_FAILED)


def _show(console: Console, result: "RecordReplay") -> None:
    names = ("peer", "lives", "events", "effects", "notes")
    rows = {name: getattr(result, name) for name in names}
    console.print(facts({"same": result.is_same, **rows}))
    if result.difference is not None:
        _show_difference(console, result.difference)


def _show_difference(console: Console, found: "Difference") -> None:
    place = f"line {found.line}: life {found.life}, event {found.number}, at {found.at_s:.6f} s"
    console.print(f"{place}, effect {found.effect}")
    console.print(f"  {_words(found.event)}")
    console.print(f"- {_words(found.recorded)}")
    console.print(f"+ {_words(found.now)}")
    if found.reason:
        console.print(found.reason)


def _words(value: Any) -> str:
    """Return an event or an effect as people read it, with what its frame says."""
    if value is None:
        return "nothing more"
    text = json.dumps(value)
    match value:
        case [str(name), {"frame": str(frame)}] if name in _FRAMES:
            text = f"{_message_of(frame)} {text}"
        case _:
            pass
    return text if len(text) <= _CHARACTERS_MAX else f"{text[:_CHARACTERS_MAX]}…"


def _message_of(frame: str) -> str:
    from p2pfed.core.plain import read_bytes
    from p2pfed.wire import frames

    try:
        return repr(frames.decode(read_bytes(frame)))
    except RemoteError as error:
        return f"no message ({error.kind})"
