"""The figures of a report, as plotly's JavaScript takes them."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sim.report.drawing import edges_drawn, positions
from sim.report.readings import Bands, Readings, bands

Figure = dict[str, Any]

_BLUE: Final = "31,119,180"
_MARKED_LINE: Final = {
    "mode": "lines+markers",
    "line": {"color": f"rgb({_BLUE})"},
    "marker": {"size": 4},
}
_GRAY: Final = "rgba(110,110,110,0.45)"
_RED: Final = "#d62728"
_LINE_WIDTHS: Final = (0.5, 1.0, 2.0, 3.5)  # of edges, from the least used quarter to the most used
_BYTES_PER_MB: Final = 1e6
_TIME: Final = "virtual time, seconds"
_ROUNDS: Final = "rounds"
_CROWD: Final = 200  # peers, of which the picture shows smaller ones
_CROWD_WIDTH_RATIO: Final = 0.3  # of their edges


def figures_of(readings: Readings) -> list[Figure]:
    """Return all figures in order; each has `id`, `title`, `note`, `data` and `layout`."""
    sent = bands(readings.by_bytes)
    megabytes = [it / _BYTES_PER_MB for it in sent.at]
    return [
        _scores_along(readings),
        _scores("score-bytes", "Score over bytes per peer", sent, megabytes, "MB sent by the peer"),
        _consensus(readings),
        _graph(readings),
        _link_use(readings),
        _rows(readings),
    ]


def _scores_along(readings: Readings) -> Figure:
    """Return the scores over time; over rounds, where no time passed."""
    if _has_time(readings):
        time = bands(readings.by_time)
        return _scores("score-time", "Score over virtual time", time, time.at, _TIME)
    spread = bands(readings.by_round)
    return _scores("score-rounds", "Score over rounds", spread, spread.at, _ROUNDS)


def _has_time(readings: Readings) -> bool:
    return bool(readings.by_time) or not readings.by_round


def _scores(name: str, title: str, spread: Bands, at: Sequence[float], axis: str) -> Figure:
    hover = [f"{count} peers" for count in spread.counts]
    edge = {
        "mode": "lines",
        "line": {"width": 0, "shape": "hv"},
        "hoverinfo": "skip",
        "x": _short(at),
    }
    fill = {**edge, "fill": "tonexty"}
    data = [
        {**edge, "y": _short(spread.least), "showlegend": False},
        {
            **fill,
            "y": _short(spread.most),
            "fillcolor": f"rgba({_BLUE},0.15)",
            "name": "least to most",
        },
        {**edge, "y": _short(spread.low), "showlegend": False},
        {**fill, "y": _short(spread.high), "fillcolor": f"rgba({_BLUE},0.35)", "name": "quartiles"},
        {
            "x": _short(at),
            "y": _short(spread.median),
            "mode": "lines",
            "line": {"color": f"rgb({_BLUE})", "width": 2, "shape": "hv"},
            "name": "median",
            "text": hover,
        },
    ]
    note = "Of honest peers, on validation data; each with its newest value."
    layout = _layout(axis, "score")
    return {"id": name, "title": title, "note": note, "data": data, "layout": layout}


def _consensus(readings: Readings) -> Figure:
    line = {
        **_MARKED_LINE,
        "x": _short([at for at, _ in readings.consensus]),
        "y": _short([distance for _, distance in readings.consensus]),
    }
    return {
        "id": "consensus",
        "title": "Consensus distance",
        "note": "Mean squared distance of the honest peers' models from their mean.",
        "data": [line],
        "layout": _layout(_TIME if _has_time(readings) else _ROUNDS, "squared distance"),
    }


def _graph(readings: Readings) -> Figure:
    edges = edges_drawn(readings.links)
    place = positions(readings.peer_count, [pair for pair, _ in edges])
    is_crowded = readings.peer_count > _CROWD
    data = _edge_traces(edges, place, width_ratio=_CROWD_WIDTH_RATIO if is_crowded else 1.0)
    honest = [peer for peer in range(readings.peer_count) if peer not in readings.hostile]
    data.append(
        {
            **_markers(honest, place),
            "name": "honest",
            "text": [f"peer {peer}: {_said(readings.scores.get(peer))}" for peer in honest],
            "marker": {
                "color": [readings.scores.get(peer) for peer in honest],
                "colorscale": "Viridis",
                "colorbar": {"title": {"text": "score"}},
                "size": 6 if is_crowded else 12,
                "line": {"width": 1, "color": "#333333"},
            },
        }
    )
    liars = sorted(readings.hostile)
    data.append(
        {
            **_markers(liars, place),
            "name": "hostile",
            "text": [f"peer {peer}: {readings.hostile[peer]}" for peer in liars],
            "marker": {
                "color": _RED,
                "symbol": "x",
                "size": 10 if is_crowded else 14,
                "line": {"width": 1, "color": "#ffffff"},
            },
        }
    )
    total = len({tuple(sorted(pair)) for pair in readings.links})
    note = "Colored by the last score on validation data; wider lines carried more bytes."
    if len(edges) < total:
        note += f" Of {total} edges the {len(edges)} with most bytes."
    hidden = {"visible": False}
    layout = {**_layout("", ""), "xaxis": hidden, "yaxis": {**hidden, "scaleanchor": "x"}}
    layout |= {"height": 600, "legend": {"orientation": "h"}}
    return {"id": "graph", "title": "Peers", "note": note, "data": data, "layout": layout}


def _edge_traces(
    edges: Sequence[tuple[tuple[int, int], int]],
    place: Sequence[tuple[float, float]],
    *,
    width_ratio: float,
) -> list[dict[str, Any]]:
    """Return a trace per width: edges, least used ones first, in quarters."""
    quarters = _quarters([sent for _, sent in edges])
    traces = []
    for quarter, width in enumerate(_LINE_WIDTHS):
        across: list[float | None] = []
        up: list[float | None] = []
        for pair in (pair for (pair, _), it in zip(edges, quarters, strict=True) if it == quarter):
            for peer in pair:
                across.append(place[peer][0])
                up.append(place[peer][1])
            across.append(None)
            up.append(None)
        traces.append(
            {
                "x": across,
                "y": up,
                "mode": "lines",
                "line": {"color": _GRAY, "width": width * width_ratio},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    return traces


def _quarters(rising: Sequence[int]) -> list[int]:
    """Return in which quarter of them each number is; equal ones are all where their middle is."""
    below, up_to = (np.searchsorted(rising, rising, side=side) for side in ("left", "right"))
    return [int(it) for it in (below + up_to) * 2 // max(1, len(rising))]


def _markers(peers: Sequence[int], place: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "x": [place[peer][0] for peer in peers],
        "y": [place[peer][1] for peer in peers],
        "mode": "markers",
        "hoverinfo": "text",
    }


def _link_use(readings: Readings) -> Figure:
    used = sorted(readings.links.items(), key=lambda item: (-item[1], item[0]))
    line = {
        **_MARKED_LINE,
        "x": list(range(1, len(used) + 1)),
        "y": _short([count / _BYTES_PER_MB for _, count in used]),
        "text": [f"peer {sender} to {receiver}" for (sender, receiver), _ in used],
    }
    return {
        "id": "link-use",
        "title": "Link use",
        "note": "Each direction of each edge, the most used first"
        f"{'; with framing' if _has_time(readings) else '; payloads alone'}.",
        "data": [line],
        "layout": _layout("links", "MB", rangemode="tozero"),
    }


def _rows(readings: Readings) -> Figure:
    reasons = list(readings.rejected)
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": reasons,
            "x": [readings.rejected[reason][side] for reason in reasons],
            "name": f"of {side} peers",
            "marker": {"color": color},
        }
        for side, color in (("honest", f"rgb({_BLUE})"), ("hostile", _RED))
    ]
    layout = _layout("rows", "")
    layout |= {"barmode": "stack", "yaxis": {"automargin": True, "autorange": "reversed"}}
    return {
        "id": "rows",
        "title": "Rows by reason",
        "note": "Rows of neighbors that honest peers used, and those that they did not, by reason.",
        "data": data,
        "layout": layout,
    }


def _layout(across: str, up: str, *, rangemode: str = "normal") -> dict[str, Any]:
    return {
        "height": 360,
        "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
        "xaxis": {"title": {"text": across}},
        "yaxis": {"title": {"text": up}, "automargin": True, "rangemode": rangemode},
        "legend": {"orientation": "h", "y": 1.15},
        "template": {"layout": {"paper_bgcolor": "#ffffff", "plot_bgcolor": "#fafafa"}},
    }


def _short(values: Sequence[float]) -> list[float]:
    """Return numbers with six digits: nobody sees more, and pages stay small."""
    return [float(f"{value:.6g}") for value in values]


def _said(score: float | None) -> str:
    return "not evaluated" if score is None else f"{score:.4g}"
