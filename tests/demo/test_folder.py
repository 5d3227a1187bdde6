"""What a demonstration in a checkout leaves behind."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

from p2pfed.cli.demo import _new_folder

IGNORED = (Path(__file__).parents[2] / ".gitignore").read_text(encoding="utf-8").split()


def test_its_folders_are_no_part_of_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        folder = _new_folder()
        folder.mkdir()
        assert any(fnmatch(f"/{folder}/", pattern) for pattern in IGNORED)
