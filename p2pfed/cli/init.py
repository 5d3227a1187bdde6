"""`p2pfed init`: a folder for one peer of a new run, or of a run that others have begun."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.output import Json, Output, examples, facts
from p2pfed.cli.run_folder import RUN_FILE
from p2pfed.errors import ConfigError

if TYPE_CHECKING:
    from p2pfed.config.assembly import Agreement
    from p2pfed.config.model import RunConfig

_EPILOG = examples(
    "p2pfed init mine --task digits --set schedule.rounds_max=20",
    "p2pfed init mine --task my_package.my_module:make_task",
    "p2pfed init theirs --from /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init", epilog=_EPILOG)(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Is made; holds the run file and the state.")],
    task: Annotated[
        str | None,
        typer.Option(help="digits, reuters, or package.module:factory. Default: digits."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run, for people.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of what the run's peers share.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of the run file; may be repeated.",
        ),
    ] = None,
    member: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ADDRESS", help="Join the run of the peer that has this address."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a peer: run file, genesis, identity and state folder."""
    output = Output(as_json=as_json)
    fields = parse_assignments(field or (), option="set")
    if name is not None:
        fields["run.name"] = name
    if seed is not None:
        fields["run.seed"] = seed
    _refuse_existing(folder)
    if member is None:
        found = _new_run(folder, task or "digits", fields)
    else:
        shared = {"task": task, "name": name, "seed": seed}
        for key, value in shared.items():
            if value is not None:
                raise ConfigError(key, value, "leave it out; --from takes the run as it is")
        output.people.print(f"asking {member}")
        found = _existing_run(folder, member, fields)

    def show(console: Console) -> None:
        shown = {key: found[key] for key in ("run_id", "peer_id", "run_file", "state")}
        console.print(facts(shown))
        console.print(f"start it: {found['next']}", style="bold")

    output.result(found, show)


def _new_run(folder: Path, task: str, fields: dict[str, Any]) -> dict[str, Any]:
    from p2pfed.config.templates import template

    config = template(task, overrides=fields)
    return _write(folder, config, _agreement(config, folder))


def _existing_run(folder: Path, member: str, fields: dict[str, Any]) -> dict[str, Any]:
    import trio

    from p2pfed.config.templates import template
    from p2pfed.node.invitation import fetch_agreement
    from p2pfed.wire.genesis_report import difference

    theirs = trio.run(fetch_agreement, member)
    shared = _shared_fields(theirs)
    for field in fields:
        if field.split(".")[0] in {name.split(".")[0] for name in shared}:
            raise ConfigError(field, fields[field], "leave it out; all peers of the run share it")
    peers = fields.pop("node.peers", [])
    # Without its neighbor a newcomer would train small models to the end before it is connected.
    own = {"schedule.start_neighbors": 1, **fields, "node.peers": [member, *peers]}
    config = template(theirs.genesis.task, overrides=shared | own)
    ours = _agreement(config, folder)
    found = difference(ours.genesis, theirs.genesis)
    if found is not None:
        fix = (
            f"this machine comes to another genesis than the run's: {found}; "
            "use the members' version of the task and, with --set task.…, their options"
        )
        raise ConfigError("run.task", theirs.genesis.task, fix)
    return _write(folder, config, theirs)


def _shared_fields(agreement: "Agreement") -> dict[str, Any]:
    """Return the tables that all peers of a run share, as fields of a run file."""
    genesis = agreement.genesis
    fields: dict[str, Any] = {
        "run": {"name": genesis.name, "seed": genesis.seed, "task": genesis.task},
        "admission": {"rule": genesis.admission.rule},
    }
    for table, component in (("method", genesis.method), ("codec", genesis.codec)):
        constants = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in component.constants.items()
        }
        fields[table] = {"name": component.name, **constants}
    return fields


def _agreement(config: "RunConfig", folder: Path) -> "Agreement":
    """Build the model once, since the genesis says what it looks like."""
    from p2pfed.config.learning import assemble
    from p2pfed.config.plugins import load_plugins
    from p2pfed.identity import Identity

    load_plugins(config.plugins.files, folder)
    # Who asks makes no difference to the genesis, and nothing is written before all is well.
    return assemble(config, Identity.create()).agreement


def _write(folder: Path, config: "RunConfig", agreement: "Agreement") -> dict[str, Any]:
    from p2pfed.config import files
    from p2pfed.node.opening import GENESIS_FILE, keep_genesis, load_identity
    from p2pfed.node.store import write_atomically

    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(config, folder / RUN_FILE)
        write_atomically(folder / GENESIS_FILE, agreement.encoded)
        identity = load_identity(folder / config.node.state)
        keep_genesis(folder, folder / config.node.state)
    except OSError as error:
        fix = f"{error.strerror or error}; choose another folder"
        raise ConfigError("folder", str(folder), fix) from error
    return {
        "run_id": agreement.run_id.hex(),
        "peer_id": identity.text,
        "run_file": str(folder / RUN_FILE),
        "genesis": str(folder / GENESIS_FILE),
        "state": str(folder / config.node.state),
        "next": f"p2pfed node run {folder}",
    }


def _refuse_existing(folder: Path) -> None:
    """Notice before the model is built what would stop us after it."""
    if (folder / RUN_FILE).exists():
        raise ConfigError("folder", str(folder), "holds a run already; choose another folder")
