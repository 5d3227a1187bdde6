"""The experiment on all weights by losses alone, in little."""

from pathlib import Path

import pytest

from benchmarks import seeds_full


def test_all_peers_and_a_newcomer_end_with_equal_weights(tmp_path: Path) -> None:
    document = tmp_path / "seeds.md"
    assert seeds_full.main(["--task", "digits", "--rounds", "3", "--out", str(document)]) == 0
    text = document.read_text(encoding="utf-8")
    assert "2,410" in text
    assert "equal digests, the newcomer too: yes" in text
    assert "| 3 | 600 |" in text
    assert " NO" not in text


def test_another_newcomer_is_told_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter("ab")
    monkeypatch.setattr(seeds_full, "_sha256", lambda _: next(digests))
    arguments = ["--task", "digits", "--rounds", "2", "--out", "/dev/null"]
    assert seeds_full.main(arguments) == 1
