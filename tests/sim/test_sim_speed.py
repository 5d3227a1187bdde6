"""What the benchmark of the simulator says of its measurements; nothing is timed here."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import sim_speed
from benchmarks.sim_speed import (
    ADAPTER_WAYS,
    ROUNDS,
    TURNS,
    growth,
    is_measured,
    measure_missing,
    missed,
    read_record,
    section,
)
from benchmarks.sim_ways import ROWS, drawn_digits


def cell(per_s: float, *, peak_bytes: int = 1 << 30) -> dict[str, Any]:
    return {
        "peer_rounds": 1_000,
        "wall_s": 1_000 / per_s,
        "cpu_s": 1_000 / per_s,
        "peak_bytes": peak_bytes,
    }


def test_targets_are_of_a_thousand_peers() -> None:
    turns = [cell(2_499.0), cell(9_000.0), cell(1.0)]
    cells = {("messages", 1_000, 2): turns, ("messages", 100, 2): [cell(1.0)]}
    assert missed(cells, 2) == ["messages, 1,000 peers: 2,499 of 2,500 per second"]
    assert missed({("messages", 1_000, 2): [cell(2_500.0)]}, 2) == []


def test_growth_compares_the_cost_of_a_peer_round() -> None:
    cells = {("messages", 1_000, 2): [cell(3_000.0)], ("messages", 10_000, 2): [cell(2_000.0)]}
    assert growth(cells, "messages", 10_000, 2) == 1.5
    assert missed(cells, 2) == ["messages: a peer-round of 10,000 peers costs 1.50 of 1.3"]


def test_too_much_memory_is_missed() -> None:
    cells = {("rounds, mean", 10_000, 2): [cell(1.0), cell(1.0, peak_bytes=3 << 30)]}
    assert missed(cells, 2) == ["rounds, mean, 10,000 peers: 3.0 of 2 GiB"]


def test_a_hundred_peers_with_adapters_have_six_gibibytes() -> None:
    (way, *_) = ADAPTER_WAYS
    assert missed({(way, 100, 2): [cell(1.0, peak_bytes=6 << 30)]}, 2) == []
    line = f"{way}, 100 peers: 7.0 of 6 GiB"
    assert missed({(way, 100, 2): [cell(1.0, peak_bytes=7 << 30)]}, 2) == [line]


def test_adapters_are_measured_at_one_size() -> None:
    sizes = [peers for peers in ROUNDS if is_measured("messages, LoRA on MiniLM", peers)]
    assert sizes == [100]


def test_a_row_tells_speed_spread_memory_and_growth() -> None:
    turns = [cell(2_000.0), cell(2_600.0), cell(1_900.0)]
    text = section({("torch loop", 1_000, 1): turns}, 1)
    assert "| torch loop | 1,000 | 2,000 | 1,900 to 2,600 | 2,000 | 1,024 | 1.00 |" in text


def test_measurements_of_other_versions_are_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    lines = [
        {"way": "messages", "peers": 10, "threads": 1, "found": {}, "versions": {"code": code}}
        for code in ("old", "new")
    ]
    path.write_text("\n".join([*map(json.dumps, lines), '{"cut'])[:-1], encoding="utf-8")
    assert list(read_record(path, {"code": "new"})) == [("messages", 10, 1)]


def test_ways_take_turns_and_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[str, int]] = []

    def measure(way: str, peers: int, threads: int) -> dict[str, Any]:
        measured.append((way, peers))
        return cell(float(threads))

    monkeypatch.setattr(sim_speed, "measure", measure)
    monkeypatch.setattr(sim_speed, "RECORD", tmp_path / "build" / "record.jsonl")
    cells = {("messages", 10, 2): [cell(1.0)]}
    ways = ["messages", "torch loop"]
    assert measure_missing(ways, [10], 2, cells) == 0
    loop, ours = ("torch loop", 10), ("messages", 10)
    assert measured == [loop, ours, loop, ours, loop]
    assert {len(turns) for turns in cells.values()} == {TURNS[10]}
    kept = read_record(sim_speed.RECORD, sim_speed.versions())
    assert {key: len(turns) for key, turns in kept.items()} == {(*ours, 2): 2, (*loop, 2): 3}


def test_each_peer_of_the_benchmark_has_its_rows() -> None:
    assert len(drawn_digits(peers=3).rows("train")) == 3 * ROWS
