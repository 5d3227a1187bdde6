"""Draws accuracy against bytes."""

from pathlib import Path

from benchmarks.bytes_report import Results

_MARKERS = "osD^vP*X"


def draw(results: Results, path: Path) -> None:
    """Write a picture: one point per line, its bar from the least to the most of all seeds."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # half a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    rows = results.rows()
    methods = list(dict.fromkeys(row.line.trained for row in rows))
    for number, method in enumerate(methods):
        chosen = [row for row in rows if row.line.trained == method]
        means = [row.mean("mean_accuracy") for row in chosen]
        kilobytes = [row.mean("bytes_per_peer") / 1e3 for row in chosen]
        values = [[run["mean_accuracy"] for run in row.runs.values()] for row in chosen]
        below = [m - min(v) for m, v in zip(means, values, strict=True)]
        above = [max(v) - m for m, v in zip(means, values, strict=True)]
        axes.errorbar(
            kilobytes,
            means,
            yerr=[below, above],
            fmt=_MARKERS[number % len(_MARKERS)],
            capsize=3,
            label=method,
        )
        for place, (row, x, y) in enumerate(zip(chosen, kilobytes, means, strict=True)):
            offset = (5, 4 if (number + place) % 2 == 0 else -10)  # neighbors' names stay apart
            codec = row.line.name.split(" / ")[1]
            axes.annotate(codec, (x, y), textcoords="offset points", xytext=offset, fontsize=7)
    axes.set(xscale="log", xlabel="kB sent per peer, framing included", ylabel="test accuracy")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="lower right")
    # Equal tables give equal files: no date, and names of elements from a fixed salt.
    with matplotlib.rc_context({"svg.hashsalt": "p2pfed"}):
        figure.savefig(path, metadata={"Date": None})
