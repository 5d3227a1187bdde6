"""The report of a run: its numbers, and a page that holds all that it needs."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from p2pfed.errors import ConfigError, LocalError
from sim.documents import with_overrides
from sim.report.drawing import edges_drawn, positions
from sim.report.figures import figures_of
from sim.report.page import render, write_report
from sim.report.readings import Readings, bands, read_metrics
from sim.run_folder import read_run, run_into
from tests.sim.results import write_run
from tests.sim.short import SHORT

LIAR = with_overrides(
    SHORT,
    {
        "run.name": "</script><b>",
        "topology": {"name": "complete", "nodes": 5},
        "integration.rule": "median",
        "schedule.mode": "synchronous",
        "adversaries": [{"peer": 2, "kind": "scaled-difference", "scale": -10.0}],
    },
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--virtual-time-budget=30000",
)
BROWSER_S_MAX = 120.0


class Page(HTMLParser):
    """Collects what a page says, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.texts: dict[str, str] = {}  # by id, or by tag where there is none
        self._inside = ""
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self._inside = found.get("id") or tag
        self.loaded += [str(it) for name, it in attrs if name in ("src", "href", "action", "data")]

    @override
    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("report")
    run_into(place, LIAR, seed=1)
    return place


def figures(folder: Path) -> dict[str, Any]:
    return {it["id"]: it for it in figures_of(read_metrics(read_run(folder)))}


def test_bands_hold_each_peers_newest_value() -> None:
    found = bands({0: [(1.0, 0.0), (3.0, 4.0)], 1: [(2.0, 1.0)], 2: [(2.0, 2.0)]})
    assert found.at == [1.0, 2.0, 3.0]
    assert found.counts == [1, 3, 3]
    assert found.least == [0.0, 0.0, 1.0]
    assert found.low == [0.0, 0.5, 1.5]
    assert found.median == [0.0, 1.0, 2.0]
    assert found.high == [0.0, 1.5, 3.0]
    assert found.most == [0.0, 2.0, 4.0]


def test_bands_hold_the_newest_value_where_places_fall() -> None:
    found = bands({0: [(1.0, 0.0), (3.0, 4.0), (2.0, 5.0), (4.0, 6.0)]})
    assert found.at == [1.0, 2.0, 3.0, 4.0]
    assert found.median == [0.0, 0.0, 5.0, 6.0]


def test_bands_of_nobody_are_empty() -> None:
    assert bands({}).at == bands({}).median == []


def test_long_curves_are_thinned_out_between_their_ends() -> None:
    found = bands({0: [(float(k), float(k)) for k in range(5_001)]})
    assert len(found.at) == 200
    assert (found.at[0], found.at[-1]) == (0.0, 5_000.0)
    assert found.median[-1] == 5_000.0


def test_the_most_used_edges_are_drawn() -> None:
    links = {(0, 1): 5, (1, 0): 5, (1, 2): 3, (2, 1): 0}
    assert edges_drawn(links) == [((1, 2), 3), ((0, 1), 10)]


@pytest.mark.parametrize("peer_count", [0, 1, 7, 150, 2_500])
def test_every_peer_has_a_place(peer_count: int) -> None:
    pairs = [(peer, peer + 1) for peer in range(peer_count - 1)]
    places = positions(peer_count, pairs)
    assert len(set(places)) == peer_count
    assert places == positions(peer_count, pairs)


@pytest.mark.slow
def test_scores_are_those_of_honest_peers(folder: Path) -> None:
    readings = read_metrics(read_run(folder))
    assert sorted(readings.by_time) == sorted(readings.by_bytes) == [0, 1, 3, 4]
    median = figures(folder)["score-time"]["data"][-1]
    last = sorted(readings.scores[peer] for peer in (0, 1, 3, 4))
    assert median["y"][-1] == pytest.approx((last[1] + last[2]) / 2, rel=1e-5)
    assert figures(folder)["score-bytes"]["data"][-1]["y"][-1] == median["y"][-1]


@pytest.mark.slow
def test_liars_are_marked_in_the_graph(folder: Path) -> None:
    *edges, honest, hostile = figures(folder)["graph"]["data"]
    assert hostile["text"] == ["peer 2: scaled-difference"]
    assert hostile["marker"]["symbol"] == "x"
    assert len(honest["x"]) == len(honest["marker"]["color"]) == 4
    assert sum(trace["x"].count(None) for trace in edges) == 10


def widths(links: dict[tuple[int, int], int], peer_count: int) -> dict[tuple[int, ...], float]:
    """Return how wide each edge is in the graph, by its peers."""
    drawn = figures_of(Readings(hostile={}, peer_count=peer_count, links=links))
    *traces, honest, _ = next(it for it in drawn if it["id"] == "graph")["data"]
    peer_at = {place: peer for peer, place in enumerate(zip(honest["x"], honest["y"], strict=True))}
    found: dict[tuple[int, ...], float] = {}
    for trace in traces:
        places = list(zip(trace["x"], trace["y"], strict=True))
        for first, second in zip(places[::3], places[1::3], strict=True):
            found[tuple(sorted((peer_at[first], peer_at[second])))] = trace["line"]["width"]
    return found


@pytest.mark.parametrize("peer_count", [9, 300], ids=["few", "crowd"])
def test_edges_are_wider_where_they_carried_more_bytes(peer_count: int) -> None:
    links = {(peer + 1, peer): (7 * peer) % 8 for peer in range(8)}  # each of 0 to 7 bytes once
    found = widths(links, peer_count)
    of_least_first = [found[peer, peer + 1] for peer in sorted(range(8), key=lambda it: 7 * it % 8)]
    assert of_least_first == sorted(of_least_first)
    assert len(set(of_least_first)) == 4
    assert of_least_first[-1] > 2.0 * of_least_first[0]


def test_edges_that_carried_the_same_bytes_are_as_wide_as_each_other() -> None:
    alike = widths({(peer, peer + 1): 5 for peer in range(8)}, 9)
    assert len(alike) == 8
    assert len(set(alike.values())) == 1
    two = widths({(peer, peer + 1): 5 + peer % 2 for peer in range(7)}, 8)
    assert {peer % 2: width for (peer, _), width in two.items()} == {0: 1.0, 1: 3.5}
    assert len(set(two.values())) == 2
    assert widths({}, 3) == {}


@pytest.mark.slow
def test_rows_links_and_consensus_are_those_of_the_run(folder: Path) -> None:
    found, result = figures(folder), read_run(folder).result
    honest, hostile = found["rows"]["data"]
    assert honest["y"] == ["used", *result["rejected"]]
    assert hostile["x"][honest["y"].index("norm-cap")] == result["rejected"]["norm-cap"]["hostile"]
    assert len(found["link-use"]["data"][0]["y"]) == 20
    assert sum(found["link-use"]["data"][0]["y"]) == pytest.approx(
        sum(result["bytes_sent"]) / 1e6, rel=1e-5
    )
    assert len(found["consensus"]["data"][0]["y"]) == 3


@pytest.mark.slow
def test_page_loads_nothing_and_holds_its_data(folder: Path, tmp_path: Path) -> None:
    write_report(folder, tmp_path / "new" / "report.html")
    text = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.loaded == []
    assert {"link", "img", "iframe", "b"}.isdisjoint(page.tags)
    assert "default-src 'none'" in text
    assert page.texts["title"].strip() == "</script><b>, seed 1"
    names = [it["id"] for it in json.loads(page.texts["figures"])]
    assert names == ["score-time", "score-bytes", "consensus", "graph", "link-use", "rows"]
    assert all(f'<div id="{name}"></div>' in text for name in names)
    assert read_run(folder).result["trace_digest"] in text


@pytest.mark.slow
def test_equal_runs_have_equal_pages(folder: Path, tmp_path: Path) -> None:
    run_into(tmp_path, LIAR, seed=1)
    pages = [
        render(run, figures_of(read_metrics(run)), "") for run in map(read_run, (folder, tmp_path))
    ]
    assert pages[0] == pages[1]


def test_no_data_ends_the_element_that_it_stands_in(tmp_path: Path) -> None:
    write_run(tmp_path / "run", seed=0, accuracy=0.5)
    figure = {"id": "peers", "title": "Peers", "note": "", "data": ["</script><b>"]}
    page = render(read_run(tmp_path / "run"), [figure], "")
    _, _, after = page.partition('<script type="application/json" id="figures">')
    assert json.loads(after.partition("</script>")[0]) == [figure]


@pytest.mark.slow
def test_without_plotly_the_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(LocalError, match=r"p2pfed\[report\]"):
        write_report(folder, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_page_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot write"):
        write_report(folder, tmp_path / "file" / "report.html")


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sim run"):
        write_report(tmp_path, tmp_path / "report.html")


@pytest.mark.system
def test_a_browser_draws_every_figure(folder: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser is not None, f"install one of {', '.join(BROWSERS)}"
    path = tmp_path / "report.html"
    write_report(folder, path)
    place = [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(
        [browser, *OPTIONS, *place],
        capture_output=True,
        text=True,
        timeout=BROWSER_S_MAX,
        check=True,
    )
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body is not None
    assert 'data-drawn="6"' in body[0], body[0]
    for name in figures(folder):
        drawn = done.stdout.split(f'<div id="{name}"')[1]
        assert 'class="main-svg"' in drawn[:5_000], name
