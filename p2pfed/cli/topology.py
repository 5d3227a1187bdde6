"""`p2pfed topology show`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from p2pfed.cli.assignments import parse_assignments
from p2pfed.cli.output import Json, Output, examples, facts
from p2pfed.errors import ConfigError, LocalError

if TYPE_CHECKING:
    from topologies.topology import Topology

_SPREAD_NODES_MAX = 200  # the layout that shows shapes best takes a second for so many

app = typer.Typer(name="topology", help="Look at who talks to whom.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `show` a command of its own while it is the only one."""


@app.command(
    "show",
    epilog=examples(
        "p2pfed topology show ring --nodes 16",
        "p2pfed topology show k-regular --nodes 16 --set degree=4 --plot overlay.png",
    ),
)
def show(
    name: Annotated[str, typer.Argument(help="ring, complete, k-regular, …")],
    nodes: Annotated[int, typer.Option(help="How many peers.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the topology."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random in it.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw it into a picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the numbers that decide how fast peers on a topology agree."""
    import topologies

    parameters = parse_assignments(parameter or (), option="set")
    taken = {"nodes", "seed"} & parameters.keys()
    for key in sorted(taken):
        raise ConfigError("set", f"{key}={parameters[key]}", f"write --{key} {parameters[key]}")
    try:
        net = topologies.create(name, nodes=nodes, seed=seed, **parameters)
    except topologies.TopologyError as error:
        raise ConfigError("topology", name, str(error)) from error
    found = {"name": name, "nodes": nodes, "seed": seed, "parameters": parameters, **_numbers(net)}
    found["plot"] = None if plot is None else str(plot)
    if plot is not None:
        _draw(net, plot)
    Output(as_json=as_json).result(found, lambda console: console.print(facts(found)))


def _numbers(net: "Topology") -> dict[str, Any]:
    import networkx as nx

    degrees = [degree for _, degree in net.graph.degree()]
    gap = net.spectral_gap()
    return {
        "edges": net.graph.number_of_edges(),
        "degree_min": min(degrees),
        "degree_mean": sum(degrees) / len(degrees),
        "degree_max": max(degrees),
        "diameter": nx.diameter(net.graph),
        "average_path": nx.average_shortest_path_length(net.graph),
        "spectral_gap": gap,
        # The distance from consensus is multiplied by at most this much in a round of gossip.
        "contraction_per_round": 1.0 - gap,
        "is_bipartite": nx.is_bipartite(net.graph),
    }


def _draw(net: "Topology", path: Path) -> None:
    if path.suffix.lower() != ".png":
        raise ConfigError("plot", str(path), "write a file name that ends in .png")
    import matplotlib

    matplotlib.use("Agg")  # before pyplot, which networkx imports, looks for a screen
    import networkx as nx
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    small = len(net) <= _SPREAD_NODES_MAX
    layout = nx.kamada_kawai_layout(net.graph) if small else nx.spring_layout(net.graph, seed=0)
    figure = Figure(figsize=(7, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_title(f"{net.name}, {len(net)} peers, spectral gap {net.spectral_gap():.3f}")
    nx.draw_networkx(
        net.graph,
        pos=layout,
        ax=axes,
        with_labels=small,
        node_size=300 if small else 20,
        node_color="#9ecae1",
        edge_color="#969696",
        font_size=8,
    )
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise LocalError(f"cannot write {path}: {error.strerror or error}") from error
