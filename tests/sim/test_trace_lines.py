"""Where two traces part."""

from pathlib import Path
from typing import Any

import pytest

from p2pfed.core.config import ScheduleConfig
from p2pfed.errors import ConfigError
from sim.line_files import LineWriter
from sim.stubs import stub_world
from sim.trace_lines import Entry, TraceRecorder, parting_of, read_trace
from sim.world import World
from topologies import create


def entries_of(seed: int, *, crash: bool = False) -> tuple[World, list[Entry]]:
    world = stub_world(create("line", nodes=2).graph, ScheduleConfig(rounds_max=2), seed=seed)
    entries: list[Entry] = []
    TraceRecorder(entries.append).world_began(world)
    world.run(until_s=1.0)
    if crash:
        world.crash(1)
    world.run(until_s=30.0)
    return world, entries


def made(*names: str) -> list[Entry]:
    return [
        {"number": k, "at_ns": k, "peer": 0, "name": name, "content": "", "what": ""}
        for k, name in enumerate(names, start=1)
    ]


def names(entries: Any) -> list[str]:
    return [it["name"] for it in entries]


def test_every_entry_of_a_trace_is_told() -> None:
    world, entries = entries_of(0)
    assert [it["number"] for it in entries] == list(range(1, world.trace.count + 1))
    assert {it["name"] for it in entries} >= {"CommandGiven", "FrameReceived", "TrainingFinished"}
    said = {it["what"].split(":")[0] for it in entries}
    assert {"Hello from peer 0", "Deliver from peer 1"} <= said
    assert "crash" in names(entries_of(0, crash=True)[1])


def test_equal_runs_do_not_part() -> None:
    assert parting_of(entries_of(0)[1], entries_of(0)[1]) is None


def test_a_fault_is_where_runs_part() -> None:
    plain, crashed = entries_of(0)[1], entries_of(0, crash=True)[1]
    found = parting_of(plain, crashed)
    assert found is not None
    assert found.second[0]["name"] == "crash"
    assert plain[: found.number - 1] == crashed[: found.number - 1]
    assert tuple(plain[found.number - 4 : found.number - 1]) == found.before


def test_what_is_around_the_parting_is_kept() -> None:
    first = made("a", "b", "c", "d", "e", "f", "g", "h")
    found = parting_of(first, made("a", "b", "c", "d", "x", "y"))
    assert found is not None
    assert found.number == 5
    assert names(found.before) == ["b", "c", "d"]
    assert names(found.first) == ["e", "f", "g"]
    assert names(found.second) == ["x", "y"]


@pytest.mark.parametrize(("first", "second"), [("abc", "ab"), ("ab", "abc")])
def test_a_trace_that_ends_early(first: str, second: str) -> None:
    found = parting_of(made(*first), made(*second))
    assert found is not None
    assert found.number == 3
    assert sorted([names(found.first), names(found.second)]) == [[], ["c"]]


def test_a_kept_trace_is_read(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "trace.jsonl") as lines:
        for entry in made("a", "b"):
            lines.write(entry)
    assert list(read_trace(tmp_path / "trace.jsonl")) == made("a", "b")


def test_a_file_that_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"kind": "link"}\n')
    with pytest.raises(ConfigError, match="line 1 is of no trace"):
        list(read_trace(tmp_path / "metrics.jsonl"))
