"""Files of one JSON object a line."""

from pathlib import Path

import pytest

from p2pfed.errors import ConfigError, LocalError
from sim.line_files import LineWriter, read_lines


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lines.jsonl"
    with LineWriter(path) as lines:
        lines.write({"a": 1, "b": {"c": 0.5}})
        lines.write({"a": float("nan")})
    assert list(read_lines(path)) == [{"a": 1, "b": {"c": 0.5}}, {"a": None}]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="cannot write"):
        LineWriter(tmp_path / "file" / "lines.jsonl")


@pytest.mark.parametrize("content", ['{"a": 1}\n{"a"', "[1]\n"])
def test_what_is_no_object_is_named_by_its_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"line {len(content.splitlines())}") as caught:
        list(read_lines(path))
    assert caught.value.value == str(path)


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read_lines(tmp_path / "nothing.jsonl"))
