"""`p2pfed data fetch`."""

from typing import Annotated

import typer

from p2pfed.cli.output import Json, Output, examples, facts

app = typer.Typer(name="data", help="Data and weights of the built-in tasks.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `fetch` a command of its own while it is the only one."""


@app.command("fetch", epilog=examples("p2pfed data fetch reuters minilm"))
def fetch(
    names: Annotated[list[str], typer.Argument(help="reuters (texts), minilm (a model).")],
    as_json: Json = False,
) -> None:
    """Download what tasks need, once, and check it.

    It is kept in $P2PFED_DATA, or in ~/.cache/p2pfed.
    """
    from p2pfed.learn import fetch as fetching

    output = Output(as_json=as_json)
    folders = fetching.fetch(names, report=output.people.print)
    found = {name: str(folder) for name, folder in folders.items()}
    output.result(found, lambda console: console.print(facts(found)))
