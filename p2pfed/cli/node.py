"""`p2pfed node run` and `p2pfed node status`."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from p2pfed.cli import node_replay
from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.output import (
    EXIT_FAILED,
    EndedError,
    Json,
    Output,
    examples,
    facts,
    size_of,
)
from p2pfed.cli.run_folder import find_run_file
from p2pfed.errors import ConfigError, LocalError, TransportError
from p2pfed.node.interruption import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from p2pfed.config.model import RunConfig
    from p2pfed.node.outcome import NodeOutcome

_LEFT: Final = "left"  # `core.schedule.Phase.LEFT`, without what that module imports
_NOT_RUNNING: Final = "not running"
_WAIT_S_MAX: Final = 600.0  # guess: people have walked to the other machine by then
_WAITED_IN_VAIN: Final = (
    "see whether they run and can be reached, or allow for more time with --wait-neighbors-s-max; "
    "without --wait-neighbors training begins at once"
)

app = typer.Typer(name="node", help="Run a peer on this machine.", no_args_is_help=True)
node_replay.register(app)


class LogLevel(StrEnum):
    """How much is logged on stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@app.command(
    "run",
    epilog=examples(
        "p2pfed node run mine",
        "p2pfed node run theirs --peer /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…",
        "p2pfed node run mine --listen /ip4/127.0.0.1/tcp/4001 --set integration.rule=median",
    ),
)
def run(
    run_file: Annotated[Path, typer.Argument(help="The run file, or the folder that it lies in.")],
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="One more neighbor; may be repeated."),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Listen here instead; may be repeated."),
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Keep the state here instead.")] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Stop after so many rounds instead; 0: no bound.")
    ] = None,
    wait_neighbors: Annotated[
        int | None, typer.Option(help="Wait for so many neighbors before training goes on.")
    ] = None,
    wait_neighbors_s_max: Annotated[
        float | None,
        typer.Option(
            help=f"Fail when they have not come by then, seconds. Default: {_WAIT_S_MAX:g}."
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append all that enters the protocol, for node replay."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="A field of the run file, for this time."
        ),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="What is logged on stderr. Default: warning.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train, exchange and integrate until the run file's stop rule ends it.

    Ctrl-C or SIGTERM leaves within 3 seconds, a second one at once. Started again, the peer goes
    on where it was.
    """
    from p2pfed.cli.node_display import NodeDisplay
    from p2pfed.node.running import run_process

    if log_level is not None:
        logging.getLogger("p2pfed").setLevel(log_level.upper())
    overrides = parse_assignments(field or (), option="set")
    options = {
        "node.listen": listen or None,
        "schedule.rounds_max": rounds,
        **_waiting(wait_neighbors, wait_neighbors_s_max),
    }
    overrides = {name: value for name, value in options.items() if value is not None} | overrides
    path = find_run_file(run_file)
    config = _load(path, overrides, more_peers=peer or [])
    output = Output(as_json=as_json)
    with NodeDisplay(output) as display:
        outcome = run_process(
            config, path.parent, state=state, on_event=display.take, record=record
        )
    _end(output, outcome)


@app.command("status", epilog=examples("p2pfed node status mine", "p2pfed node status mine --json"))
def status(
    folder: Annotated[Path, typer.Argument(help="Of the run file, or the state folder.")],
    as_json: Json = False,
) -> None:
    """Show what a node on this machine is doing, or did last."""
    from p2pfed.node.status import STATUS_FILE, read_status
    from p2pfed.node.store import is_locked

    place = folder if (folder / STATUS_FILE).exists() else _state_folder(folder)
    last = read_status(place)
    if last is None:
        raise LocalError(f"no node has run in {place} yet; start it: p2pfed node run {folder}")
    is_running = is_locked(place)
    is_lost = not is_running and last["phase"] != _LEFT
    found = {
        "running": is_running,
        **last,
        "phase": _NOT_RUNNING if is_lost else last["phase"],
        "last_phase": last["phase"],
        "state": str(place),
    }
    Output(as_json=as_json).result(found, lambda console: _show_status(console, found))


def _end(output: Output, outcome: "NodeOutcome") -> None:
    """Print how a node ended, and end with the exit code of that."""
    if outcome.has_waited_in_vain:
        raise TransportError(f"{outcome.status.trouble}\n{_WAITED_IN_VAIN}")
    found = outcome.to_json_object()
    output.result(found, lambda console: _show_outcome(console, found))
    if outcome.was_interrupted:
        raise EndedError(EXIT_INTERRUPTED)
    if outcome.has_failed:
        raise EndedError(EXIT_FAILED)


def _waiting(count: int | None, s_max: float | None) -> dict[str, Any]:
    """Return fields of the run file: who says how many to wait for means it, at every start."""
    if count is None:
        if s_max is not None:
            fix = "say how many neighbors to wait for as well: --wait-neighbors 1"
            raise ConfigError("wait-neighbors-s-max", s_max, fix)
        return {}
    return {
        "schedule.start_neighbors": count,
        "schedule.start_deadline_s": _WAIT_S_MAX if s_max is None else s_max,
        "schedule.start_required": True,
    }


def _load(path: Path, overrides: dict[str, Any], *, more_peers: list[str]) -> "RunConfig":
    from p2pfed.config.files import load

    config = load(path, overrides=overrides)
    if not more_peers:
        return config
    peers = [*config.node.peers, *(each for each in more_peers if each not in config.node.peers)]
    return load(path, overrides=overrides | {"node.peers": peers})


def _state_folder(folder: Path) -> Path:
    from p2pfed.config.files import load

    path = find_run_file(folder)
    try:
        return path.parent / load(path).node.state
    except ConfigError as error:
        raise LocalError(f"{folder} is no state folder and its run file is bad: {error}") from error


def _show_outcome(console: Console, found: Mapping[str, Any]) -> None:
    from p2pfed.cli.node_display import neighbor_table, privacy_words, rejection_lines

    names = ("stop_reason", "rounds", "score", "test_score")
    rows = {name: found[name] for name in names}
    rows["privacy"] = privacy_words(found["privacy"])
    rows["rejected"] = rejection_lines(found["rejected"], found["rejected_peers"])
    if found["warning"]:
        rows["warning"] = found["warning"]
    rows["model_digest"] = found["model_digest"]
    sent, received = size_of(found["bytes_sent"]), size_of(found["bytes_received"])
    console.print(facts({**rows, "bytes": f"{sent} out, {received} in", "state": found["state"]}))
    if found["weights_by_peer"]:
        console.print(neighbor_table((), found["weights_by_peer"]))


def _show_status(console: Console, found: Mapping[str, Any]) -> None:
    from p2pfed.cli.node_display import neighbor_table, privacy_words, rejection_lines

    running = "yes"
    if found["phase"] == _NOT_RUNNING:
        # Killed, or the machine stopped: a node that ends by itself leaves.
        running = (
            f"no: process {found['pid']} ended without leaving; last known {found['updated_at']} "
            f"in phase {found['last_phase']}, as below\nstarted again it goes on where it was"
        )
    elif not found["running"]:
        running = f"no, left {found['updated_at']}"
    names = ("peer_id", "run_id", "run_name", "phase", "round", "loss", "score", "test_score")
    rows = {name: found[name] for name in names}
    rows["bytes"] = f"{size_of(found['bytes_sent'])} out, {size_of(found['bytes_received'])} in"
    rows["privacy"] = privacy_words(found.get("privacy"))
    rows["rejected"] = rejection_lines(found["rejected"], found.get("rejected_peers", {}))
    if found.get("idle"):
        rows["idle"] = found["idle"]
    if found.get("warning"):
        rows["warning"] = found["warning"]
    rows |= {name: found[name] for name in ("addresses", "trouble")}
    console.print(facts({"running": running, **rows}))
    neighbors = tuple(found["neighbors"]) if found["running"] else ()
    reputation = found.get("reputation")  # an earlier version told nothing of it
    if neighbors or found["weights_by_peer"] or reputation:
        console.print(neighbor_table(neighbors, found["weights_by_peer"], reputation))
