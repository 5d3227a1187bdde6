"""Plug-ins: files that name rules and attacks, run before names are looked up."""

from pathlib import Path

import pytest

import robust
from p2pfed.config.files import load, render
from p2pfed.config.plugins import load_plugins
from p2pfed.errors import ConfigError
from robust import registry

OWN = "import robust\nrobust.register('own-first', lambda vectors: vectors[0])\n"


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def test_a_run_file_finds_them_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    file = tmp_path / "run.toml"
    file.write_text('run.task = "digits"\n[plugins]\nfiles = ["own.py"]\n', encoding="utf-8")
    assert '\n[plugins]\nfiles = ["own.py"]  # Python files' in render(load(file))
    assert "own-first" in robust.names()


def test_each_is_run_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    load_plugins(["own.py"], tmp_path)
    load_plugins(["own.py", "./own.py"], tmp_path)  # a second time its name would be taken


def test_one_that_was_edited_since_is_not_taken_for_what_was_run(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    load_plugins(["own.py"], tmp_path)
    (tmp_path / "own.py").write_text(f"{OWN}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'own\.py': was edited .* start the program again"):
        load_plugins(["own.py"], tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.py", "", r"'none\.py': there is no such Python file at /"),
        ("own.txt", "x", r"'own\.txt': there is no such Python file"),
        ("own.py", "import robust\n\n1 / 0\n", "'own.py': mend it, line 3: ZeroDivisionError"),
        ("own.py", "def broken(:\n", "'own.py': mend it: SyntaxError"),
        ("own.py", OWN.replace("own-first", "mean"), "line 2: RuleError: rule 'mean' is there"),
    ],
)
def test_what_is_wrong_is_said_of_the_file(tmp_path: Path, name: str, text: str, said: str) -> None:
    if text:
        (tmp_path / name).write_text(text, encoding="utf-8")
    for _ in range(2):  # one that failed is not taken for one that was run
        with pytest.raises(ConfigError, match=rf"plugins\.files = .*{said}"):
            load_plugins([name], tmp_path)
