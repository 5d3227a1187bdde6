"""A part of a benchmark never replaces the document of the whole."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import bytes_table, codec_speed, results, robust_speed, seeds_full
from benchmarks.bytes_lines import SEEDS
from benchmarks.document import publish
from benchmarks.robust_report import key_of

MACHINE = {
    "cpus": 2,
    "load_1_min": 0.5,
    "architecture": "x86_64",
    "system": "Linux",
    "python": "3.11.7",
}


@pytest.mark.parametrize(
    ("lacks", "is_wanted", "is_written"),
    [
        ("", None, True),
        ("", False, False),
        ("most of it", None, False),
        ("most of it", False, False),
        ("most of it", True, True),
    ],
)
def test_what_lacks_something_is_written_on_request_only(
    tmp_path: Path, lacks: str, is_wanted: bool | None, is_written: bool
) -> None:
    document = tmp_path / "benchmarks.md"
    publish("Rules", "text", lacks=lacks, is_wanted=is_wanted, document=document)
    assert document.exists() is is_written


def timing(name: str, dimension: int) -> dict[str, Any]:
    turns = {"ours": 0.1, "sum": 0.01, "weighted-sum": 0.02, "gram": 0.1}
    found: dict[str, Any] = {
        turn: {"cpu_s": [cpu] * 3, "wall_s": [cpu] * 3} for turn, cpu in turns.items()
    }
    return {key_of("time", name, dimension, threads=1): {**found, "machine": MACHINE}}


def test_one_rule_is_printed_without_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = timing("krum", 100_000) | timing("mean", 100_000)
    monkeypatch.setattr(robust_speed, "read_record", lambda *_: cells)
    arguments = ["--report-only", "--name", "krum", "--dimension", "100000"]
    assert robust_speed.main(arguments) == 0
    shown = capsys.readouterr()
    assert "| `krum` |" in shown.out
    assert "| `mean` |" not in shown.out
    assert "is left alone" in shown.err


def test_rules_are_whole_once_every_timing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust_speed, "versions", lambda: {"byzfl": "1"})
    cells: dict[str, Any] = {key_of(**job): {} for _, job in robust_speed.jobs(["krum"], (1000,))}
    monkeypatch.setattr(robust_speed, "DIMENSIONS", (1000,))
    assert robust_speed.lacking(cells, ["krum"]) == ""
    assert robust_speed.lacking(cells, ["krum", "mean"]) == "2 of 4 timings are missing"
    monkeypatch.setattr(robust_speed, "versions", lambda: {"byzfl": "none"})
    assert "byzfl" in robust_speed.lacking(cells, ["krum"])


@pytest.mark.parametrize("arguments", [["--name", "int4"], ["--values", "1000"]])
def test_a_part_of_the_codecs_is_printed(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(codec_speed, "run_cell", lambda *_: {})
    monkeypatch.setattr(codec_speed, "section", lambda *_: "the rows")
    monkeypatch.setattr(codec_speed, "missed", lambda *_: [])
    assert codec_speed.main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == "the rows\n"
    assert "is left alone" in shown.err


def test_one_task_of_the_demonstrations_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "run_case", lambda *_: {})
    monkeypatch.setattr(results, "row", lambda task, *_: f"| {task} |")
    monkeypatch.setattr(results, "DOCUMENT", tmp_path / "results.md")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    results.main(["--task", "digits"])
    assert "| digits |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--task", "digits"], ["--rounds", "3"], ["--seed", "1"]])
def test_another_run_is_not_written_into_the_document_of_the_first(arguments: list[str]) -> None:
    assert seeds_full.parse([]).out == seeds_full.DOCUMENT
    assert seeds_full.parse(arguments).out is None


def test_bytes_are_whole_with_every_run_of_the_document() -> None:
    options = bytes_table.parse(["--task", "digits"])
    bench = bytes_table.BENCHES["digits"]
    found: dict[str, Any] = {cell.key(): {} for cell in bytes_table.cells(options, bench)}
    assert bytes_table.is_whole(found, SEEDS, "digits")
    assert not bytes_table.is_whole(found, SEEDS[:1], "digits")
    found.popitem()
    assert not bytes_table.is_whole(found, SEEDS, "digits")
