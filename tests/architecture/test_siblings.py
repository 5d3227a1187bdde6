"""The four import packages are ours, and a stranger of the same name is refused."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["p2pfed", "robust", "topologies", "sim"]


def import_p2pfed_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Import p2pfed as a program in this folder does: the folder comes first on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    return subprocess.run(
        [sys.executable, *options, "-c", "import p2pfed; print('imported')"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


@pytest.fixture
def installed_copy(tmp_path: Path) -> Path:
    """Make a folder with the four packages in it, as in site-packages."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / name / "__init__.py", tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_in_this_repository(name: str) -> None:
    module = importlib.import_module(name)
    assert Path(module.__file__ or "") == ROOT / name / "__init__.py"
    assert module.__p2pfed__ is True
    assert (ROOT / name / "py.typed").exists()


def test_whole_copy_is_accepted(installed_copy: Path) -> None:
    run = import_p2pfed_in(installed_copy)
    assert run.stdout == "imported\n"


def test_stray_file_is_refused_and_not_run(tmp_path: Path) -> None:
    stray = tmp_path / "sim.py"
    stray.write_text("print('the stray file ran')")
    run = import_p2pfed_in(tmp_path)
    assert run.returncode == 1
    assert run.stdout == ""
    assert f"ImportError: 'sim' at {stray} is not p2pfed's" in run.stderr


def test_stray_file_is_not_seen_with_safe_path(tmp_path: Path) -> None:
    (tmp_path / "sim.py").write_text("print('the stray file ran')")
    run = import_p2pfed_in(tmp_path, "-P")
    assert run.stdout == "imported\n"


@pytest.mark.parametrize("name", ["robust", "topologies", "sim"])
def test_overwritten_package_is_refused(installed_copy: Path, name: str) -> None:
    overwritten = installed_copy / name / "__init__.py"
    overwritten.write_text("'''Another project of the same name.'''")
    run = import_p2pfed_in(installed_copy)
    assert run.returncode == 1
    assert f"ImportError: {name!r} at {overwritten} is not p2pfed's" in run.stderr


def test_folder_without_init_is_refused(installed_copy: Path) -> None:
    (installed_copy / "topologies" / "__init__.py").unlink()
    run = import_p2pfed_in(installed_copy)
    assert run.returncode == 1
    assert "ImportError: 'topologies' at" in run.stderr
