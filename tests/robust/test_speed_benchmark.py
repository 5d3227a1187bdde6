"""The benchmark of the rules measures what it says; how fast they are is left to itself."""

import sys
from pathlib import Path
from typing import Any

import numba
import pytest
import torch

import robust
from benchmarks.document import write_section
from benchmarks.robust_cell import choose_compiler, measure_memory, measure_time
from benchmarks.robust_pairs import DIMENSIONS, PAIRS, ROW_COUNT, Pair
from benchmarks.robust_report import key_of, missed, notes, section
from benchmarks.robust_speed import jobs, reason_to_skip_byzfl, run_cell
from robust.compiled import COLUMNS_MIN, find_middle
from robust.inputs import check_inputs

BY_TITLE = {pair.title: pair for pair in PAIRS}
MACHINE = {
    "cpus": 2,
    "load_1_min": 0.5,
    "architecture": "x86_64",
    "system": "Linux",
    "python": "3.11.7",
}


def timing(ours_s: float, byzfl_s: float | None) -> dict[str, Any]:
    turns = {"ours": ours_s, "sum": 0.01, "weighted-sum": 0.02, "gram": 0.1}
    if byzfl_s is not None:
        turns["byzfl"] = byzfl_s
    found: dict[str, Any] = {
        name: {"cpu_s": [cpu] * 3, "wall_s": [cpu] * 3} for name, cpu in turns.items()
    }
    found["ours"]["first_cpu_s"] = ours_s + 0.7
    return {**found, "machine": MACHINE}


def test_every_rule_is_measured() -> None:
    assert {pair.name for pair in PAIRS if "+" not in pair.name} == (set(robust.names()))
    steps = {step for pair in PAIRS for step in pair.name.split("+")[:-1]}
    assert steps == set(robust.pre_aggregation_names())


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(pair, marks=[pytest.mark.slow] if pair.is_compiled else [], id=pair.title)
        for pair in PAIRS
    ],
)
def test_every_rule_runs_as_it_is_measured(pair: Pair) -> None:
    found = measure_memory(pair, dimension=2_000, side="ours")
    assert found["extra_bytes"] < 64e6  # and it ran at all, with the benchmark's parameters


@pytest.mark.slow
def test_time_of_one_rule() -> None:
    found = measure_time(
        BY_TITLE["mean"], dimension=1_000, threads=1, seconds_max=0.0, with_byzfl=False
    )
    assert set(found) == {"sum", "weighted-sum", "gram", "ours"}
    assert all(len(turns["cpu_s"]) == 3 for turns in found.values())
    assert found["ours"]["first_cpu_s"] > 0.0


@pytest.mark.slow
def test_memory_of_a_result_is_counted() -> None:
    # In a process of its own, which has no memory of earlier calls left to use again.
    found = run_cell({"kind": "memory", "name": "mean", "dimension": 2_000_000, "side": "ours"})
    assert found is not None
    assert 8e6 <= found["extra_bytes"] <= 64e6


@pytest.mark.parametrize("title", ["trimmed-mean", "trimmed-mean, compiled"])
def test_only_a_compiled_rule_is_measured_with_numba(
    title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numba", numba)  # put back afterwards
    choose_compiler(BY_TITLE[title])
    vectors = torch.zeros(1).expand(ROW_COUNT, COLUMNS_MIN)
    inputs = check_inputs(vectors, own=None, weights=None, keys=None, gram=None)
    assert (find_middle(inputs, 4) is not None) is title.endswith("compiled")


def test_a_compiled_rule_is_not_measured_where_torch_does_it() -> None:
    titles = [job["name"] for _, job in jobs(["median"], (COLUMNS_MIN - 1,))]
    assert set(titles) == {"median"}
    titles = [job["name"] for _, job in jobs(["median"], (COLUMNS_MIN,))]
    assert set(titles) == {"median", "median, compiled"}


def test_what_compiling_takes_is_told_and_not_counted() -> None:
    cells = {
        key_of("time", title, 10_000_000, threads=1): timing(0.25, 10.0)
        for title in ("median", "median, compiled")
    }
    text = section(cells, {"torch": "2", "numba": "0", "byzfl": "0"}, threads=(1,))
    assert "| `median` | 250 (250 to 250) | 250 | Median: 1e+04" in text
    assert "| `median, compiled` in 0.7 s | 250 (250 to 250) | 250 | Median: 1e+04" in text


def test_missed_targets_are_sentences() -> None:
    cells = {
        key_of("time", "median", 10_000_000, threads=1): timing(3.0, 10.0),
        key_of("time", "median, compiled", 10_000_000, threads=1): timing(1.0, 10.0),
        key_of("time", "krum", 10_000_000, threads=1): timing(1.0, 13.0),
        key_of("memory", "krum", 10_000_000, side="ours"): {"extra_bytes": 70_000_000},
    }
    slow, large = missed(cells)
    assert slow.startswith(
        "`median, compiled` at d = 1e+07, 1 thread, was 10.0 times as fast as byzfl's Median"
    )
    assert "wanted 20" in slow
    assert large.startswith("`krum` at d = 1e+07 took 70 MB")
    text = section(cells, {"torch": "2", "numba": "0", "byzfl": "0"}, threads=(1, 2))
    assert slow in text
    assert "d = 10,000,000, 1 thread" in text


def test_a_target_missed_with_two_threads_is_a_sentence() -> None:
    cells = {
        key_of("time", "krum", 10_000_000, threads=1): timing(1.0, 13.0),
        key_of("time", "krum", 10_000_000, threads=2): timing(1.0, 9.0),
    }
    (slow,) = missed(cells)
    assert slow.startswith("`krum` at d = 1e+07, 2 threads, was 9.0 times as fast")


@pytest.mark.parametrize(
    ("compiled_s", "end"),
    [
        (0.25, "the compiled one meets it, with 40.0 times."),
        (1.0, "the compiled one misses it, with 10.0 times."),
        (None, "the compiled one was not measured."),
    ],
)
def test_what_torch_alone_misses_says_whether_the_compiled_rule_meets_it(
    compiled_s: float | None, end: str
) -> None:
    cells = {key_of("time", "trimmed-mean", 10_000_000, threads=1): timing(2.0, 10.0)}
    if compiled_s is not None:
        key = key_of("time", "trimmed-mean, compiled", 10_000_000, threads=1)
        cells[key] = timing(compiled_s, 10.0)
    (note,) = notes(cells)
    assert note.startswith("`trimmed-mean` at d = 1e+07, 1 thread, was 5.0 times as fast")
    assert "wanted 20 times" in note
    assert note.endswith(end)
    assert note in section(cells, {"torch": "2", "numba": "0", "byzfl": "0"}, threads=(1,))


def test_memory_of_a_vote_is_wanted_at_the_most_edges_it_is_measured_with() -> None:
    assert {job["dimension"] for _, job in jobs(["rank-vote"], DIMENSIONS)} == {100_000, 1_000_000}
    key = key_of("memory", "rank-vote", 1_000_000, side="ours")
    assert missed({key: {"extra_bytes": 64_000_000}}) == []
    (large,) = missed({key: {"extra_bytes": 65_000_000}})
    assert large.startswith("`rank-vote` at d = 1e+06 took 65 MB")


def test_left_out_byzfl_says_so() -> None:
    cells = {key_of("time", "nnm+mean", 10_000_000, threads=1): timing(1.0, None)}
    assert "left out" in section(cells, {"torch": "2", "numba": "0", "byzfl": "0"}, threads=(1,))


def test_byzfl_is_left_out_by_what_a_tenth_took() -> None:
    small = key_of("memory", "nnm+mean", 1_000_000, side="byzfl")
    large = {"extra_bytes": 1_280_000_000, "wall_s": 2.0}
    slow = {"extra_bytes": 1_000, "wall_s": 13.0}
    fine = {"extra_bytes": 1_000, "wall_s": 1.0}
    reasons = [
        reason_to_skip_byzfl({small: found}, "nnm+mean", 10_000_000)
        for found in (large, slow, fine)
    ]
    assert reasons == ["would take 12.8 GB", "would take 130 s", ""]


def test_small_measurements_come_first() -> None:
    dimensions = [job["dimension"] for _, job in jobs(["krum", "mean"], (1_000_000, 100_000))]
    assert dimensions == sorted(dimensions)


def test_sections_are_written_apart(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    write_section("One", "first\n\n### part\n\ntext", document)
    write_section("Two", "second", document)
    write_section("One", "third", document)
    text = document.read_text()
    assert text.count("## One\n\nthird\n") == 1
    assert text.index("third") < text.index("## Two\n\nsecond\n")
    assert "first" not in text
    assert "part" not in text
