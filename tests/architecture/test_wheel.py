"""The wheel holds the four import packages and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import p2pfed

ROOT = Path(__file__).parents[2]
PACKAGES = {"p2pfed", "robust", "topologies", "sim"}


@pytest.mark.slow
def test_wheel_holds_the_four_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    run = subprocess.run(
        [*command, str(tmp_path), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        info = f"p2pfed-{p2pfed.__version__}.dist-info"
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert {file.split("/")[0] for file in files} == PACKAGES | {info}
    assert {f"{package}/py.typed" for package in PACKAGES} <= files
    assert f"{info}/licenses/LICENSE" in files
    assert "p2pfed = p2pfed.cli.main:main" in entry_points
