"""Commands write over nothing that they read, and over nothing of another kind."""

import json
from pathlib import Path

import pytest

from p2pfed.cli.written_files import check_written
from p2pfed.errors import ConfigError

pytestmark = pytest.mark.slow

SCENARIO = """
fidelity = "rounds"
[training]
steps_per_round = 1
[schedule]
mode = "synchronous"
rounds_max = 1
[topology]
name = "file"
nodes = 3
path = "sites.html"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    (tmp_path / "sites.html").write_text("0 1\n1 2\n")
    (tmp_path / "linked.html").symlink_to("sites.html")
    return tmp_path


def content(folder):
    return {it.name: it.read_bytes() for it in folder.iterdir()}


@pytest.mark.parametrize(
    ("words", "field", "fix"),
    [
        (("--report", "scenario.toml"), "report", "ends in .html"),
        (("--report", "sites.html"), "report", "needs that file"),
        (("--report", "linked.html"), "report", "needs that file"),
        (("--trace", "scenario.toml"), "trace", "ends in .jsonl"),
        (("--trace", "trace"), "trace", "ends in .jsonl"),
        (("--out", "new", "--trace", "new/metrics.jsonl"), "trace", "needs that file"),
        (("--out", "."), "out", "its scenario.toml is read by this run"),
    ],
)
def test_a_run_writes_over_nothing_that_it_reads(p2pfed, folder, words, field, fix):
    before = content(folder)
    error = p2pfed.error("sim", "run", "scenario.toml", *words, code=2)
    assert error["field"] == field
    assert error["value"] == words[-1]
    assert fix in error["fix"]
    assert content(folder) == before


def test_a_sweep_writes_over_no_files_that_no_run_wrote(p2pfed, folder):
    words = ["sim", "sweep", "scenario.toml", "--out", "many"]
    [command] = p2pfed.json(*words, "--list")["commands"]
    cell = Path(command.split()[-1])
    cell.mkdir(parents=True)
    (cell / "metrics.jsonl").write_text("mine")
    error = p2pfed.error(*words, code=2)
    assert (error["field"], error["value"]) == ("out", str(cell.relative_to(folder)))
    assert content(cell) == {"metrics.jsonl": b"mine"}
    assert not (folder / "many" / "sweep.json").exists()


def test_a_run_does_not_go_into_the_folder_of_a_sweep(p2pfed, folder):
    (folder / "many").mkdir()
    (folder / "many" / "sweep.json").write_text(json.dumps({"settings": []}))
    error = p2pfed.error("sim", "run", "scenario.toml", "--out", "many", code=2)
    assert (error["field"], error["value"]) == ("out", "many")


def test_a_report_is_a_page(p2pfed, folder):
    before = content(folder)
    error = p2pfed.error("sim", "report", ".", "--out", "scenario.toml", code=2)
    assert (error["field"], "ends in .html" in error["fix"]) == ("out", True)
    assert content(folder) == before


def test_a_picture_is_not_drawn_over_the_graph(p2pfed, folder):
    (folder / "sites.png").write_text("0 1\n1 2\n")
    words = ["topology", "show", "file", "--nodes", 3, "--set", "path=sites.png", "--plot"]
    assert "needs that file" in p2pfed.error(*words, "sites.png", code=2)["fix"]
    assert "ends in .png" in p2pfed.error(*words, "sites.jpg", code=2)["fix"]
    assert (folder / "sites.png").read_text() == "0 1\n1 2\n"


def test_a_file_of_the_right_kind_may_be_replaced_and_a_folder_not(tmp_path):
    page = tmp_path / "page.HTML"
    page.write_text("old")
    check_written("report", page, ".html", [tmp_path / "other.html"])
    check_written("report", None, ".html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        check_written("report", tmp_path / "folder.html", ".html")
