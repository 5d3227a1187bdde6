"""A picture of a topology."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2pfed.errors import cannot_write

if TYPE_CHECKING:
    from topologies.topology import Topology

_SPREAD_NODES_MAX = 200  # the layout that shows shapes best takes a second for so many


def draw(net: "Topology", path: Path, *, gap: float) -> None:
    """Draw a topology.

    Args:
        net: What to draw; peers of a geometric one are put where they are.
        path: Of the picture, which ends in .png.
        gap: The spectral gap, for the title.

    Raises:
        LocalError: If the file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")  # before pyplot, which networkx imports, looks for a screen
    import networkx as nx
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    small = len(net) <= _SPREAD_NODES_MAX
    figure = Figure(figsize=(7, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_title(f"{net.name}, {len(net)} peers, spectral gap {gap:.3f}")
    nx.draw_networkx(
        net.graph,
        pos=_layout(net, small=small),
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
        raise cannot_write(path, error) from error


def _layout(net: "Topology", *, small: bool) -> Any:
    import networkx as nx

    placed = nx.get_node_attributes(net.graph, "position")
    if net.name == "geometric" and len(placed) == len(net):
        return placed
    return nx.kamada_kawai_layout(net.graph) if small else nx.spring_layout(net.graph, seed=0)
