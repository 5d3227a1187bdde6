"""One HTML page with everything in it: figures, their data, and what draws them."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from p2pfed.errors import LocalError, cannot_write
from sim.report.figures import Figure, figures_of
from sim.report.readings import read_metrics
from sim.run_folder import FinishedRun, read_run

REPORT_FILE: Final = "report.html"

# The browser itself refuses to load anything from anywhere, or to send anything.
_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'"
)
_STYLE: Final = """
body { font: 15px/1.5 sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222 }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-bottom: 0 }
p.note { color: #666; margin: 0 } p.warning { color: #a00 }
table { border-collapse: collapse } td { padding: 0 1.5em 0 0; vertical-align: top }
td:first-child { color: #666 } code { overflow-wrap: anywhere }
"""
# Buttons are named one by one, because plotly has one that uploads a figure. Tests, and whoever
# looks at the page with a program, see from `data-drawn` that all is there.
_SCRIPT: Final = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const buttons = ["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"];
const options = { responsive: true, displaylogo: false, modeBarButtons: [buttons] };
const drawn = figures.map((it) => Plotly.newPlot(it.id, it.data, it.layout, options));
Promise.all(drawn).then(
  () => { document.body.dataset.drawn = String(figures.length); },
  (error) => { document.body.dataset.error = String(error); },
);
"""


def write_report(folder: Path, path: Path) -> None:
    """Write the report of a run folder; equal runs, and versions, give equal bytes.

    Args:
        folder: The run folder.
        path: The file; an existing one is replaced.

    Raises:
        ConfigError: If the folder is none, or its run did not come to its end.
        LocalError: If plotly is not installed, or the file cannot be written.
    """
    run = read_run(folder)
    figures = figures_of(read_metrics(run))
    page = render(run, figures, plotly_script())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def plotly_script() -> str:
    """Return plotly's JavaScript.

    Raises:
        LocalError: If plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        fix = "python -m pip install 'p2pfed[report]'"
        raise LocalError(f"a report needs plotly; install it: {fix}") from error
    script: str = get_plotlyjs()
    return script


def render(run: FinishedRun, figures: Sequence[Figure], script: str) -> str:
    """Return the page.

    Args:
        run: What it is about.
        figures: See `sim.report.figures`.
        script: Plotly's JavaScript.
    """
    result = run.result
    title = html.escape(f"{result['scenario']}, seed {result['seed']}")
    warning = result["warning"]
    # In a script element nothing but its end is special.
    data = json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        '<head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style></head>",
        "<body>",
        f"<h1>{title}</h1>",
        f'<p class="warning">{html.escape(warning)}</p>' if warning else "",
        _facts(run),
        *(_section(figure) for figure in figures),
        f'<script type="application/json" id="figures">{data}</script>',
        f"<script>{script}</script>",
        f"<script>{_SCRIPT}</script>",
        "</body></html>",
        "",
    ]
    return "\n".join(parts)


def _section(figure: Mapping[str, Any]) -> str:
    title, note = html.escape(figure["title"]), html.escape(figure["note"])
    return f'<h2>{title}</h2><p class="note">{note}</p><div id="{figure["id"]}"></div>'


def _facts(run: FinishedRun) -> str:
    rows: dict[str, object] = {
        name.replace("_", " "): _text(value) for name, value in run.result["metrics"].items()
    }
    hostile = sum(peer["hostile"] is not None for peer in run.result["peers"])
    rows["peers"] = f"{len(run.result['peers'])}, {hostile} of them hostile"
    rows["scenario digest"] = run.scenario_digest
    rows["trace digest"] = run.result["trace_digest"]
    rows["made with"] = ", ".join(
        f"{name} {value}" for name, value in run.versions.items() if value is not None
    )
    cells = [
        f"<tr><td>{html.escape(name)}</td><td><code>{html.escape(str(value))}</code></td></tr>"
        for name, value in rows.items()
    ]
    return f"<table>{''.join(cells)}</table>"


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
