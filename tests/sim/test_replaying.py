"""A finished run, run again."""

import json
import tomllib
from pathlib import Path

import pytest
import tomli_w

from p2pfed.errors import ConfigError
from sim.documents import digest_of
from sim.replaying import replay
from sim.run_folder import run_into
from sim.trace_lines import parting_of, read_trace
from tests.sim.short import SHORT

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    run_into(place, SHORT, seed=2, trace=place / "trace.jsonl")
    return place


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_same_program_does_the_same(folder: Path) -> None:
    found = replay(folder)
    assert found.is_same
    assert found.has_trace
    assert found.recorded == found.now
    assert (found.fields, found.programs, found.parting) == ((), {}, None)


def test_the_first_event_that_differs_is_found(folder: Path) -> None:
    path = folder / "trace.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    wrong = json.loads(lines[9])
    wrong["peer"] += 1
    path.write_text("".join([*lines[:9], json.dumps(wrong) + "\n", *lines[10:]]))
    edit(folder / "result.json", trace_digest="00" * 32)
    edit(folder / "program.json", torch="0.1")
    found = replay(folder)
    assert not found.is_same
    assert found.fields == ("trace_digest",)
    assert found.programs["torch"][0] == "0.1"
    assert found.parting is not None
    assert found.parting.number == 10
    assert json.loads(lines[9]) == found.parting.second[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_digests", []),
        ("metrics", {"events": 0}),
        ("peers", [{"hostile": "noise"}] * 3),
    ],
)
def test_the_same_events_with_another_result_are_not_the_same(
    folder: Path, field: str, value: object
) -> None:
    edit(folder / "result.json", **{field: value})
    found = replay(folder)
    assert (found.is_same, found.fields, found.parting) == (False, (field,), None)


def test_what_a_later_version_tells_of_peers_is_no_difference(folder: Path) -> None:
    path = folder / "result.json"
    result = json.loads(path.read_text())
    del result["metrics"]["tested"], result["model_digests"]
    for peer in result["peers"]:
        del peer["device"], peer["speed_ratio"]
    path.write_text(json.dumps(result))
    assert replay(folder).is_same
    edit(path, rejected={"norm-cap": {"honest": 1, "hostile": 0}})
    assert replay(folder).fields == ("rejected",)


@pytest.mark.parametrize("field", ["number", "at_ns", "peer", "name", "content"])
def test_entries_differ_by_each_of_their_fields(folder: Path, field: str) -> None:
    entries = list(read_trace(folder / "trace.jsonl"))
    other = [*entries[:4], {**entries[4], field: "other"}, *entries[5:]]
    parting = parting_of(entries, other)
    assert parting is not None
    assert parting.number == 5
    assert parting_of(entries, [{**it, "what": "other"} for it in entries]) is None


def test_without_a_trace_it_is_only_known_that_it_differs(folder: Path) -> None:
    (folder / "trace.jsonl").unlink()
    edit(folder / "result.json", trace_digest="00" * 32)
    found = replay(folder)
    assert (found.is_same, found.has_trace, found.parting) == (False, False, None)


def test_files_that_were_edited_since_are_named(tmp_path: Path) -> None:
    graph, place = tmp_path / "sites.txt", tmp_path / "run"
    graph.write_text("a b\nb c\n", encoding="utf-8")
    run_into(place, {**SHORT, "topology": {"name": "file", "nodes": 3, "path": str(graph)}})
    assert replay(place).files == {}
    graph.write_text("a b\nb c\nc a\n", encoding="utf-8")
    found = replay(place)
    assert not found.is_same
    ((name, (then, now)),) = found.files.items()
    assert name == str(graph)
    assert then != now
    program = json.loads((place / "program.json").read_text())
    (place / "program.json").write_text(json.dumps({**program, "files": {}}))
    assert replay(place).files == {name: (None, now)}
    del program["files"]  # as an earlier version wrote it
    (place / "program.json").write_text(json.dumps(program))
    assert replay(place).files == {}


def test_what_only_a_later_version_tells_is_no_difference(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    del result["rejected_peers"]
    (folder / "result.json").write_text(json.dumps(result))
    assert replay(folder).is_same


def test_a_folder_of_a_version_that_wrote_out_fewer_fields(folder: Path) -> None:
    path = folder / "scenario.toml"
    document = tomllib.loads(path.read_text())
    del document["compute"]["jitter_ratio"]
    path.write_text(tomli_w.dumps(document))
    edit(folder / "result.json", scenario_digest=digest_of(document))
    assert replay(folder).is_same


def test_a_trace_of_an_earlier_run_is_not_kept(folder: Path) -> None:
    run_into(folder, SHORT, seed=3)
    assert not replay(folder).has_trace


def test_a_trace_that_is_named_must_be_there(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        replay(folder, trace=folder / "nothing.jsonl")
