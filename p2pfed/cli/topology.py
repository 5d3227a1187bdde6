"""`p2pfed topology show` and `p2pfed topology recommend`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.output import Json, Output, examples, facts, text_of
from p2pfed.cli.topology_plot import draw
from p2pfed.cli.written_files import check_written
from p2pfed.errors import ConfigError

if TYPE_CHECKING:
    from topologies.dynamic.topology import DynamicTopology
    from topologies.recommendation import Candidate, Recommendation
    from topologies.topology import Topology

_EXACT_NODES_MAX = 1_000  # above: sparse matrices, and paths from some peers only
_PATH_SOURCES = 64
_LABELS_SHOWN = 50
_RATIO = 1e-3  # what `rounds_to_thousandth` says
_DYNAMIC_NODES_MAX = 1_000  # dense products

# By default.
_MIXING = "metropolis"
_STEPS = 1
_DECAY = 0.9

app = typer.Typer(name="topology", help="Look at who talks to whom.", no_args_is_help=True)


@app.command(
    "show",
    epilog=examples(
        "p2pfed topology show ring --nodes 16",
        "p2pfed topology show k-regular --nodes 16 --set degree=4 --plot overlay.png",
        "p2pfed topology show file --nodes 5 --set path=sites.graphml --mixing optimized",
    ),
)
def show(
    name: Annotated[str, typer.Argument(help="ring, k-regular, torus, …; docs/topologies.md")],
    nodes: Annotated[int, typer.Option(help="How many peers.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the topology."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random in it.")] = 0,
    mixing: Annotated[
        str, typer.Option(help="Weights: metropolis, lazy, max-degree, uniform, optimized.")
    ] = _MIXING,
    steps: Annotated[int, typer.Option(min=1, help="Of gossip in a round.")] = _STEPS,
    decay: Annotated[
        float, typer.Option(help="Share of old noise after a round, for effective neighbors.")
    ] = _DECAY,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw it into a picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the numbers that decide how fast peers on a topology agree."""
    import topologies
    from sim.topology_errors import check_known

    check_known(name, "topology")
    parameters = parse_assignments(parameter or (), option="set")
    taken = {"nodes", "seed"} & parameters.keys()
    for key in sorted(taken):
        raise ConfigError("set", f"{key}={parameters[key]}", f"write --{key} {parameters[key]}")
    check_written("plot", plot, ".png", [Path(str(parameters.get("path", "")))])
    found: dict[str, Any] = {"name": name, "nodes": nodes, "seed": seed, "parameters": parameters}
    try:
        if name in topologies.dynamic_names():
            changing = topologies.create_dynamic(name, nodes=nodes, seed=seed, **parameters)
            _refuse_options(name, plot=plot, mixing=mixing, steps=steps, decay=decay)
            found |= _dynamic_numbers(changing)
        else:
            net = topologies.create(name, nodes=nodes, seed=seed, **parameters)
            found |= _numbers(net, mixing, steps, decay)
            found["plot"] = None if plot is None else str(plot)
            found["labels"] = _labels(net)
            if plot is not None:
                draw(net, plot, gap=found["spectral_gap"])
    except topologies.TopologyError as error:
        raise ConfigError("topology", name, str(error)) from error
    Output(as_json=as_json).result(found, lambda console: console.print(facts(_shown(found))))


@app.command(
    "recommend",
    epilog=examples(
        "p2pfed topology recommend --nodes 16 --degree 4",
        "p2pfed topology recommend --nodes 100 --degree 10 --byzantine-share 0.2",
    ),
)
def recommend(
    nodes: Annotated[int, typer.Option(help="How many peers.")],
    degree: Annotated[int, typer.Option(help="The most neighbors that a peer can afford.")],
    byzantine_share: Annotated[
        float, typer.Option(help="Share of peers that may lie, below 0.5.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of random graphs.")] = 0,
    as_json: Json = False,
) -> None:
    """Choose a topology, and say by which numbers."""
    import topologies

    try:
        found = topologies.recommend(nodes, degree, byzantine_share, seed=seed)
    except topologies.TopologyError as error:
        raise ConfigError("topology", "recommend", str(error)) from error
    Output(as_json=as_json).result(asdict(found), lambda console: _explain(console, found))


def _labels(net: "Topology") -> dict[str, str] | None:
    """Return what each number was called in a file, if it was not called so itself."""
    labels = {str(node): str(label) for node, label in net.graph.nodes(data="label", default="")}
    return None if all(label in ("", node) for node, label in labels.items()) else labels


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Return what fits on a screen or two."""
    labels = found.get("labels")
    if labels is None:
        return {name: value for name, value in found.items() if name != "labels"}
    lines = [f"{number}: {label}" for number, label in list(labels.items())[:_LABELS_SHOWN]]
    if (hidden := len(labels) - _LABELS_SHOWN) > 0:
        lines.append(f"and {hidden} more, who are all in --json")
    return {**found, "labels": lines}


def _refuse_options(name: str, *, plot: Path | None, mixing: str, steps: int, decay: float) -> None:
    """Refuse what a topology that changes has no use for."""
    given: dict[str, tuple[object, object]] = {
        "plot": (plot, None),
        "mixing": (mixing, _MIXING),
        "steps": (steps, _STEPS),
        "decay": (decay, _DECAY),
    }
    for option, (value, usual) in given.items():
        if value != usual:
            shown = str(value) if isinstance(value, Path) else value
            raise ConfigError(option, shown, f"leave it out; {name} changes every round")


def _numbers(net: "Topology", mixing: str, steps: int, decay: float) -> dict[str, Any]:
    import networkx as nx

    degrees = [degree for _, degree in net.graph.degree()]
    sparse = len(net) > _EXACT_NODES_MAX
    factor = net.contraction(mixing, sparse=sparse)
    return {
        "edges": net.graph.number_of_edges(),
        "degree_min": min(degrees),
        "degree_mean": sum(degrees) / len(degrees),
        "degree_max": max(degrees),
        **_paths(net),
        "mixing": mixing,
        "steps": steps,
        "spectral_gap": 1.0 - factor,
        # The distance from consensus is multiplied by at most this much in a round of gossip.
        "contraction_per_round": factor**steps,
        "rounds_to_thousandth": _rounds(factor, steps),
        "effective_neighbors": net.effective_neighbors(mixing, decay=decay, sparse=sparse),
        "is_bipartite": nx.is_bipartite(net.graph),
    }


def _rounds(factor: float, steps: int) -> int | None:
    from topologies.spectrum import rounds_to

    return rounds_to(_RATIO, factor, steps=steps) if factor < 1.0 else None


def _paths(net: "Topology") -> dict[str, Any]:
    """Measure distances: from all peers, or of a large topology from some, evenly chosen."""
    import networkx as nx

    sampled = len(net) > _EXACT_NODES_MAX
    sources = range(0, len(net), max(1, len(net) // _PATH_SOURCES) if sampled else 1)
    longest = total = 0
    for source in sources:
        distances = nx.single_source_shortest_path_length(net.graph, source).values()
        longest, total = max(longest, *distances), total + sum(distances)
    return {
        "diameter": longest,
        "average_path": total / (len(sources) * max(1, len(net) - 1)),
        "paths_sampled": sampled,
    }


def _dynamic_numbers(net: "DynamicTopology") -> dict[str, Any]:
    if len(net) > _DYNAMIC_NODES_MAX:
        fix = f"use at most {_DYNAMIC_NODES_MAX} for a topology that changes"
        raise ConfigError("nodes", len(net), fix)
    rounds = max(1, (len(net) - 1).bit_length())
    seen = [net.at(number) for number in range(rounds)]
    sent = [len(row) for each in seen for row in each.out_neighbors]
    heard = [len(row) for each in seen for row in each.in_neighbors()]
    return {
        "period": net.period,
        "rounds": rounds,  # as many as doubling needs to reach everyone
        "sends_mean": sum(sent) / len(sent),
        "hears_max": max(heard),
        "contraction": net.contraction(rounds),
    }


def _explain(console: Console, found: "Recommendation") -> None:
    for reason in found.reasons:
        console.print(reason)
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    headings = "topology", "degree", "gap", "rounds", "payloads", "cut by", "liars", "overrun"
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for candidate in found.candidates:
        table.add_row(*_row(candidate))
    console.print(table)
    settings = "".join(f" --set {key}={value}" for key, value in found.chosen.params.items())
    seed = f" --seed {found.seed}" if found.seed else ""
    console.print(f"p2pfed topology show {found.chosen.name} --nodes {found.nodes}{settings}{seed}")


def _row(candidate: "Candidate") -> tuple[str, ...]:
    exposure = candidate.exposure
    return (
        candidate.title,
        text_of(candidate.degree_mean),
        f"{candidate.spectral_gap:.3g}",
        str(candidate.rounds),
        f"{candidate.payloads:.0f}",
        text_of(candidate.cut_by),
        f"{exposure.share_likely_max:.0%}",
        f"{exposure.overrun_peers:.2g}",
    )
