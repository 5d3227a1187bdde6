"""`p2pfed sim report`, and the report of `sim run`."""

import sys

import pytest

from tests.cli.test_sim import SCENARIO


@pytest.mark.slow
def test_report_of_a_folder_and_of_a_run(p2pfed, tmp_path):
    (tmp_path / "short.toml").write_text(SCENARIO)
    assert p2pfed("sim", "run", "short.toml", "--out", "results") == 0
    found = p2pfed.json("sim", "report", "results")
    page = tmp_path / "results" / "report.html"
    assert found == {"report": "results/report.html", "bytes": page.stat().st_size}
    assert p2pfed("sim", "run", "short.toml", "--report", "direct.html") == 0
    assert "wrote direct.html" in p2pfed.out
    assert (tmp_path / "direct.html").read_bytes() == page.read_bytes()
    assert sorted(it.name for it in tmp_path.iterdir()) == ["direct.html", "results", "short.toml"]
    assert p2pfed("sim", "report", "results", "--out", "other/page.html") == 0
    assert "other/page.html" in p2pfed.out


def test_what_is_no_run(p2pfed):
    assert p2pfed.error("sim", "report", "nowhere", code=2)["field"] == "folder"


def test_a_run_with_a_report_needs_plotly_before_it_begins(p2pfed, tmp_path, monkeypatch):
    (tmp_path / "short.toml").write_text(SCENARIO)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    words = ["--out", "results", "--report", "page.html"]
    error = p2pfed.error("sim", "run", "short.toml", *words, code=3)
    assert "p2pfed[report]" in error["message"]
    assert not (tmp_path / "results").exists()
