"""What commands print: tables for people, or exactly one JSON object on standard output."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Final, final

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from p2pfed.node.interruption import EXIT_INTERRUPTED
from p2pfed.plain_json import finite

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_LOCAL: Final = 3
EXIT_NETWORK: Final = 4

EXIT_CODES: Final = {
    0: "done",
    EXIT_FAILED: "failed: training, a simulation, or a check such as `doctor`",
    EXIT_CONFIG: "a value of the command line or of a file cannot be used",
    EXIT_LOCAL: "this machine cannot do it as it is: a folder is in use, data is missing",
    EXIT_NETWORK: "the network, or the peer on the other side, failed",
    EXIT_INTERRUPTED: "interrupted before it was done",
}


class EndedError(Exception):
    """A command has printed its result and ends with a code that is not 0."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object; everything else goes to stderr.")
]


@final
class Output:
    """Where a command's result and its progress go.

    Args:
        as_json: Whether the result is printed as JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # Long addresses and paths are copied by people: they are never cut nor wrapped.
        # What peers and files say is printed as it is: brackets and colons in it are no markup.
        self.people = Console(
            stderr=as_json, soft_wrap=True, highlight=False, markup=False, emoji=False
        )

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """Show people that something takes a while."""
        return self.people.status(text) if self.people.is_terminal else nullcontext()

    def result(self, found: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """Print the result.

        Args:
            found: As JSON knows it.
            show: Prints it for people.
        """
        if self.as_json:
            print_json(found)
        else:
            show(self.people)


def print_json(found: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(finite(found), allow_nan=False), flush=True)


def facts(rows: Mapping[str, object]) -> Text:
    """Return lines of a name and its value each."""
    width = max(map(len, rows), default=0)
    text = Text()
    for name, value in rows.items():
        first, *others = text_of(value).split("\n")
        text.append(f"{name.replace('_', ' '):<{width}}  ", style="dim").append(f"{first}\n")
        for line in others:
            text.append(f"{'':<{width}}  {line}\n")
    text.rstrip()
    return text


def text_of(value: object) -> str:
    """Return a value as people read it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return "\n".join(map(text_of, value)) or "-"
        case Mapping():
            return "\n".join(f"{name}: {text_of(item)}" for name, item in value.items()) or "-"
        case _:
            return str(value)


def size_of(count_bytes: int) -> str:
    """Return a number of bytes as people read it."""
    size, units = float(count_bytes), ["B", "kB", "MB", "GB"]
    while size >= 1000.0 and len(units) > 1:
        size /= 1000.0
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def examples(*lines: str) -> str:
    """Return the end of a command's help: what to type."""
    # Rich joins lines that no empty line keeps apart.
    head = "Example:" if len(lines) == 1 else "Examples:"
    return "\n\n".join([head, *lines])


def with_brackets(command: Any) -> Any:
    """Let the help of a command, and of those below it, show brackets: to rich they are markup.

    Args:
        command: That typer has made; changed in place.
    """
    for shown in (command, *command.params):
        for name in ("help", "short_help", "epilog"):
            if text := getattr(shown, name, None):
                setattr(shown, name, escape(text))
    for below in getattr(command, "commands", {}).values():
        with_brackets(below)
    return command
