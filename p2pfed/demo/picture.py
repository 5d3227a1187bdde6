"""Draws accuracy over rounds."""

from collections.abc import Sequence
from pathlib import Path

from p2pfed.demo.options import PeerResult


def draw(peers: Sequence[PeerResult], path: Path) -> None:
    """Write a picture: each honest peer's test accuracy over rounds, and alone at the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # half a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for peer in peers:
        if peer.hostile or not peer.history:
            continue
        rounds, accuracies = zip(*peer.history, strict=True)
        (line,) = axes.plot(
            [r + 1 for r in rounds], accuracies, marker="o", label=f"peer {peer.index}"
        )
        if peer.alone_accuracy is not None:
            axes.plot(
                [rounds[-1] + 1],
                [peer.alone_accuracy],
                marker="x",
                markersize=9,
                color=line.get_color(),
                linestyle="none",
            )
    axes.set(xlabel="round", ylabel="test accuracy", ylim=(0.0, 1.0))
    axes.set_title("together (lines) and alone (crosses)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right", ncols=2)
    figure.savefig(path, dpi=120)
