"""`p2pfed export`: a trained model, for programs that do not know p2pfed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from p2pfed.cli.output import Json, Output, examples, facts
from p2pfed.cli.run_folder import find_run_file
from p2pfed.errors import ConfigError, LocalError


class Which(StrEnum):
    """Which of the saved models."""

    BEST = "best"
    LAST = "last"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "export",
        epilog=examples("p2pfed export mine adapter", "p2pfed export mine adapter --model last"),
    )(export)


def export(
    folder: Annotated[Path, typer.Argument(help="Of the run file of a node that has stopped.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; is made, or is empty.")],
    model: Annotated[
        Which, typer.Option(help="The best by validation data, or the last.")
    ] = Which.BEST,
    state: Annotated[
        Path | None, typer.Option(help="Its state folder, if not the run file's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the trained model: a PEFT adapter folder for LoRA, else the weights as safetensors."""
    from p2pfed.config.files import load
    from p2pfed.config.learning import assemble
    from p2pfed.learn.export import export_adapter
    from p2pfed.node.opening import check_agreement, load_identity

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError("out", str(out), "it is not empty; name a new folder")
    path = find_run_file(folder)
    config = load(path)
    place = state or path.parent / config.node.state
    saved = _saved_model(place, model, folder)
    output = Output(as_json=as_json)
    with output.waiting("loading the model"):
        assembly = assemble(config, load_identity(place))
    check_agreement(assembly.agreement, path.parent, place)
    assembly.bench.load(saved)
    assert assembly.adapted is not None
    names = () if assembly.task is None else assembly.task.class_names
    export_adapter(assembly.adapted, out, run_name=config.run.name, class_names=names)
    found = {
        "folder": str(out),
        "model": str(model),
        "method": config.method.name,
        "model_digest": assembly.bench.digest().hex(),
        "files": sorted(file.name for file in out.iterdir()),
    }
    output.result(found, lambda console: console.print(facts(found)))


def _saved_model(place: Path, which: Which, folder: Path) -> bytes:
    from p2pfed.node.store import StateStore

    if not place.is_dir():
        raise LocalError(f"{place} does not exist; run the node first: p2pfed node run {folder}")
    with StateStore(place) as store:
        saved = store.best_model() if which is Which.BEST else store.last_model()
        if saved is None and which is Which.BEST and store.last_model() is not None:
            raise LocalError(f"{place} has no evaluated model yet; take --model last")
    if saved is None:
        raise LocalError(
            f"{place} holds no model yet; run the node first: p2pfed node run {folder}"
        )
    return saved
