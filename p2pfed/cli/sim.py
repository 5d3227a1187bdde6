"""`p2pfed sim run`, and the group of all that simulates."""

import json
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from p2pfed.cli import sim_compare, sim_replay, sim_report, sim_sweep
from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.output import (
    EXIT_FAILED,
    EndedError,
    Json,
    Output,
    examples,
    facts,
    size_of,
    text_of,
)
from p2pfed.cli.sim_progress import rounds_bar
from p2pfed.cli.sim_tables import print_table
from p2pfed.cli.written_files import check_written

if TYPE_CHECKING:
    from sim.result import Result
    from sim.scenario import Scenario

_PEERS_SHOWN: Final = 50  # on one screen or two

app = typer.Typer(
    name="sim", help="Simulate a network of peers on this machine.", no_args_is_help=True
)


@app.callback()
def _begin() -> None:
    # As Ctrl-C: what is recorded is kept whole, and no process outlives the command.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@app.command(
    "run",
    epilog=examples(
        "p2pfed sim run scenario.toml",
        "p2pfed sim run scenario.toml --seed 3 --set integration.rule=median --out results --json",
        "p2pfed sim run scenario.toml --report report.html",
    ),
)
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.")],
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Replace a field, such as topology.nodes=8."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep scenario, versions, metrics and result there."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Write every event as a JSON line, for sim trace-diff and replay.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Write a page with figures; needs the extra p2pfed[report]."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a scenario in virtual time: the peers' own code, without network and clock."""
    from sim.documents import document_of, load_base, load_changed

    output = Output(as_json=as_json)
    overrides = parse_assignments(override or (), option="set")
    checked = load_base(scenario, [overrides])
    if overrides:
        checked = load_changed(document_of(checked), overrides)
    places = _Places(out=out, trace=trace, report=report)
    _check_places(places, scenario, checked)
    again = ["p2pfed", "sim", "run", str(scenario), "--seed", str(seed)]
    again += [word for given in override or () for word in ("--set", given)]
    with _saying_how_to_play_again(again, out):
        result = _simulate(checked, seed, places)
    found = json.loads(result.to_json())
    for written in (out, trace, report):
        if written is not None:
            output.people.print(f"wrote {written}")
    output.result(found, lambda console: _show(console, found))
    if found["warning"]:
        output.people.print(f"warning: {found['warning']}")
    if any(report.has_failed for report in result.peers):
        raise EndedError(EXIT_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where a run leaves what."""

    out: Path | None
    trace: Path | None
    report: Path | None


def _check_places(places: _Places, path: Path, scenario: "Scenario") -> None:
    """Refuse to write over what the run reads, or what others wrote, before it begins."""
    from sim.documents import document_of
    from sim.named_files import file_digests
    from sim.run_folder import TRACE_FILE, WRITTEN, check_folder

    read = [path, *map(Path, file_digests(document_of(scenario)))]
    if places.out is not None:
        check_folder(places.out, read, field="out")
        read += [places.out / name for name in WRITTEN if name != TRACE_FILE]
    check_written("trace", places.trace, ".jsonl", read)
    check_written("report", places.report, ".html", read)


def _simulate(scenario: "Scenario", seed: int, places: _Places) -> "Result":
    from sim.progress import RoundsMeter
    from sim.report.page import plotly_script, write_report
    from sim.run_folder import run_into
    from sim.running import run as simulate

    if places.report is not None:
        plotly_script()  # known to be missing before anybody has waited
    with ExitStack() as stack:
        watchers = [RoundsMeter(stack.enter_context(rounds_bar()))]
        if places == _Places(out=None, trace=None, report=None):
            return simulate(scenario, seed=seed, watchers=watchers)
        folder = places.out or Path(stack.enter_context(TemporaryDirectory()))
        result = run_into(folder, scenario, seed=seed, watchers=watchers, trace=places.trace)
        if places.report is not None:
            write_report(folder, places.report)
    return result


@contextmanager
def _saying_how_to_play_again(words: Sequence[str], folder: Path | None) -> Iterator[None]:
    from sim.checkers.invariant import InvariantError

    try:
        yield
    except InvariantError as error:
        error.add_note(f"no scenario may lead to this, report it; again: {shlex.join(words)}")
        if folder is not None:
            error.add_note(f"what was recorded is in {folder}")
        raise


def _show(console: Console, found: Mapping[str, Any]) -> None:
    rows = {"scenario": found["scenario"], "seed": found["seed"], **found["metrics"]}
    private = [peer["privacy"] for peer in found["peers"] if peer["privacy"] is not None]
    if private:
        rows["privacy"] = _privacy_words(private)
    rows["trace_digest"] = found["trace_digest"]
    console.print(facts(rows))
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for heading in ("peer", "attack", "rounds", "stopped", "test score", "bytes out"):
        table.add_column(heading)
    for index, peer in enumerate(found["peers"][:_PEERS_SHOWN]):
        tested = [s["test_score"] for s in peer["scores"] if s["test_score"] is not None]
        table.add_row(
            str(index),
            text_of(peer["hostile"]),
            str(peer["rounds"]),
            text_of(peer["stopped"]),
            text_of(tested[-1] if tested else None),
            size_of(found["bytes_sent"][index]),
        )
    console.print(table)
    if (hidden := len(found["peers"]) - _PEERS_SHOWN) > 0:
        console.print(f"and {hidden} more peers, who are all in --json and in result.json of --out")
    print_table(console, _reason_table(found))


def _privacy_words(private: Sequence[Mapping[str, Any]]) -> str:
    """Return what was told about the rows of those about whom most was, and what may still be."""
    counts = sorted(spent["releases"] for spent in private)
    releases = f"{counts[0]} to {counts[-1]}" if counts[0] < counts[-1] else f"{counts[0]}"
    return (
        f"at most epsilon {max(spent['epsilon'] for spent in private):.3f} spent and at least "
        f"{min(spent['epsilon_left'] for spent in private):.3f} left, {releases} releases a peer; "
        f"private peers: {len(private)}"
    )


def _reason_table(found: Mapping[str, Any]) -> Table:
    """Return how many rows honest peers used, and why they did not use the others."""
    has_hostile = any(peer["hostile"] for peer in found["peers"])
    sides = ("honest", "hostile") if has_hostile else ("honest",)
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("neighbors' rows")
    for side in sides:
        table.add_column(side if has_hostile else "count", justify="right")
    table.add_column("whose")
    for name, counts in {"used": found["rows_used"], **found["rejected"]}.items():
        whose = _whose(found["rejected_peers"].get(name))
        table.add_row(name, *(str(counts[side]) for side in sides), whose)
    return table


def _whose(concerned: Mapping[str, Any] | None) -> str:
    if concerned is None:
        return ""
    parts = [f"peer {peer}: {count}" for peer, count in concerned["peers"].items()]
    if concerned["more"]:
        parts.append(f"and {concerned['more']} more peers")
    return ", ".join(parts)


sim_sweep.register(app)
sim_compare.register(app)
sim_report.register(app)
sim_replay.register(app)
