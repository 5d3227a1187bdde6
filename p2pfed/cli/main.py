"""`p2pfed`: the app, and the edge at which errors become lines and exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from typer.main import get_command

from p2pfed import __version__
from p2pfed.cli import data, demo, doctor, export, init, node, sim, topology
from p2pfed.cli.logs import set_up_log
from p2pfed.cli.output import (
    EXIT_CODES,
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_LOCAL,
    EXIT_NETWORK,
    EndedError,
    print_json,
    with_brackets,
)
from p2pfed.errors import ConfigError, LocalError, P2PFedError, RemoteError, TransportError
from p2pfed.node.interruption import EXIT_INTERRUPTED
from robust.errors import OwnRuleError

# typer does not export this class, of which all complaints about a command line are.
_UsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="p2pfed",
    help="Peers that train a model together over libp2p, without a server.",
    epilog="\n\n".join(
        [
            "Example: p2pfed demo --task digits",
            "Exit codes:",
            *(f"{code}: {meaning}" for code, meaning in EXIT_CODES.items()),
        ]
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
init.register(app)
app.add_typer(node.app)
app.add_typer(sim.app)
app.add_typer(topology.app)
app.add_typer(data.app)
export.register(app)
doctor.register(app)
demo.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"p2pfed {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from, and log everything.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    set_up_log(debug=debug)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Of the command line, without the program; by default this process's.

    Returns:
        The exit code.
    """
    code = _run(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None and code == EXIT_INTERRUPTED:
        # A training thread that was given up may still compute, and the interpreter may crash when
        # it is taken down under it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(words: list[str]) -> int:
    _let_tasks_be_found()
    try:
        # What is returned here is the code of typer.Exit, or whatever a command returned.
        command = with_brackets(get_command(app))
        code = command(words, prog_name="p2pfed", standalone_mode=False)
        if code == EXIT_INTERRUPTED:  # newer versions of typer make this of KeyboardInterrupt
            raise KeyboardInterrupt
    except EndedError as end:
        return end.code
    except (KeyboardInterrupt, typer.Abort):
        return _complain(words, "interrupted", "interrupted", EXIT_INTERRUPTED)
    except P2PFedError as error:
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        return _complain(words, type(error).__name__, text, _code_of(error), error)
    except OwnRuleError as error:
        found = ConfigError("rule", error.rule, error.said)  # as an attack of one's own says it
        found.__cause__ = error
        return _complain(words, type(found).__name__, str(found), EXIT_CONFIG, found)
    except _UsageError as error:
        return _complain_of_usage(words, error)
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # the edge: a mistake of ours, or of a user's task
        text = f"{type(error).__name__}: {error}\nsee where with: p2pfed --debug …"
        return _complain(words, type(error).__name__, text, EXIT_FAILED, error)
    return code if isinstance(code, int) else 0


def _code_of(error: P2PFedError) -> int:
    if isinstance(error, ConfigError):
        return EXIT_CONFIG
    if isinstance(error, TransportError | RemoteError):
        return EXIT_NETWORK
    return EXIT_LOCAL if isinstance(error, LocalError) else EXIT_FAILED


def _complain_of_usage(words: Sequence[str], error: Exception) -> int:
    format_message = getattr(error, "format_message", error.__str__)
    context = getattr(error, "ctx", None)
    command = "p2pfed" if context is None else context.command_path
    return _complain(
        words,
        "UsageError",
        f"{format_message()}\nsee what there is with: {command} --help",
        EXIT_CONFIG,
    )


def _complain(
    words: Sequence[str], kind: str, text: str, code: int, error: Exception | None = None
) -> int:
    """Say what is wrong, on stderr and for programs; return the exit code."""
    if error is not None and "--debug" in words:
        traceback.print_exception(error)
    print(f"p2pfed: {text}", file=sys.stderr)
    if "--json" in words:
        found: dict[str, object] = {"kind": kind, "message": text, "exit_code": code}
        if isinstance(error, ConfigError):
            value = error.value
            is_plain = isinstance(value, str | int | float | bool | None)
            found |= {"field": error.field, "value": value if is_plain else repr(value)}
            found["fix"] = error.fix
        print_json({"error": found})
    return code


def _let_tasks_be_found() -> None:
    """Let `package.module:factory` name a module in the current folder.

    Python does that for scripts but not for installed programs. The folder comes last, so that no
    file in it can stand in for an installed module.
    """
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.append(here)


if __name__ == "__main__":
    sys.exit(main())
