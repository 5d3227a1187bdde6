"""docs/sweeps.md: its commands and its Python run, in order, and its tables list what there is."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from p2pfed.cli.main import main
from sim.comparing import Difference

pytestmark = pytest.mark.slow

TEXT = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(sh|python|toml)\n(.*?)```", TEXT, flags=re.DOTALL)
# What a command of the guide ends with where that is not 0.
CODES = {"trace-diff": 1}


def words_of(line: str) -> list[str]:
    """Return the words of a command as a shell would hand them on."""
    words = shlex.split(line, comments=True)
    return [found for word in words for found in (sorted(map(str, Path().glob(word))) or [word])]


def run_block(kind: str, text: str) -> None:
    if kind == "python":
        exec(compile(text, "docs/sweeps.md", "exec"), {})  # noqa: S102 - the guide's own
        return
    for line in text.replace("\\\n", " ").splitlines():
        program, *words = words_of(line)
        assert program == "p2pfed"
        assert main(words) == CODES.get(words[1], 0), line


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do all that the guide shows, in a folder of its own."""
    place = tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("os.sched_getaffinity", lambda _process: {0})  # no processes of their own
        files = iter(re.findall(r"`([\w.]+\.toml)`[^`]*?```toml", TEXT))
        for kind, text in BLOCKS:
            if kind == "toml":
                Path(next(files)).write_text(text, encoding="utf-8")
            else:
                run_block(kind, text)
    return place


def explained(heading: str) -> dict[str, str]:
    """Return the last cell of each row of a section's tables, by what stands in the first one."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].strip("`"): row[-1] for row in cells if row[0] != "`kind`"}


def names_in(heading: str) -> list[str]:
    """Return the first cells of a section's tables, as they stand."""
    return [f"`{name}`" for name in explained(heading)]


def test_files_and_metrics_of_a_run_folder_are_listed(folder: Path) -> None:
    listed = explained("Run folders")
    for kind in ("evaluation", "swarm", "link"):
        lines = (folder / "results" / "metrics.jsonl").read_text().splitlines()
        found = next(it for it in map(json.loads, lines) if it["kind"] == kind)
        said = set(re.findall(r"`(\w+)`", listed.pop(kind))) - {"null"}
        assert said == found.keys() - {"kind"}
    assert listed.keys() == {it.name for it in (folder / "traced").iterdir()}


def test_every_measure_and_what_is_said_of_it_are_listed(folder: Path) -> None:
    listed = set(re.findall(r"`(\w+)`", " ".join(names_in("Sweeps"))))
    result = json.loads((folder / "rules" / "sweep.json").read_text())
    measures = result["settings"][0]["measures"]
    assert listed == measures.keys() | measures["mean_accuracy"].keys()
    explained_words = set(re.findall(r"`(\w+)`", TEXT))
    assert result.keys() | result["settings"][0].keys() <= explained_words | {
        "scenario",
        "settings",
    }


def test_every_field_of_a_difference_is_listed() -> None:
    listed = set(re.findall(r"`(\w+)`", " ".join(names_in("Comparing"))))
    assert listed == {it.name for it in fields(Difference)}


def test_every_figure_of_a_report_is_listed(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", text) == list(explained("Reports"))
    assert (folder / "results" / "report.html").exists()


def test_every_field_of_a_trace_is_listed(folder: Path) -> None:
    (first, *_) = (folder / "later.jsonl").read_text().splitlines()
    assert list(json.loads(first)) == list(explained("Replays"))
