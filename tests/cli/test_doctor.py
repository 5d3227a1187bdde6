"""`p2pfed doctor` finds this environment well, and says what is wrong with a bad one."""

import subprocess
import sys
from importlib import metadata

import pytest

from p2pfed.cli import checks
from p2pfed.cli.checks import State


@pytest.mark.slow
@pytest.mark.net
def test_this_environment_is_well(p2pfed):
    found = p2pfed.json("doctor")
    states = {check["name"]: check["state"] for check in found["checks"]}
    wrong = [check for check in found["checks"] if check["state"] == State.WRONG]
    assert found["healthy"], wrong
    assert {"python", "assertions", "robust", "sim", "libp2p", "torch", "loopback"} <= set(states)
    assert all(check["fix"] for check in found["checks"] if check["state"] != State.OK)
    assert p2pfed("doctor") == 0
    assert "all is well" in p2pfed.out


def test_missing_data_is_no_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("P2PFED_DATA", str(tmp_path))
    found = {check.name: check for check in checks.check_data()}
    assert {check.state for check in found.values()} == {State.NOTE}
    assert found["data reuters"].fix.endswith("p2pfed data fetch reuters")


def test_without_assertions():
    program = "from p2pfed.cli.checks import check_assertions; print(check_assertions())"
    run = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True
    )
    assert "State.WRONG" in run.stdout
    assert "without -O" in run.stdout


def test_other_versions(monkeypatch):
    installed = {"libp2p": "0.9.0", "torch": "2.9.0"}

    def version(name):
        if name in installed:
            return installed[name]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", version)
    wanted = ["libp2p==0.8.1", "torch>=2.6,<3", "zstandard>=0.23", "pytest>=9; extra == 'dev'"]
    monkeypatch.setattr(checks, "requires", lambda _: wanted)
    found = {check.name: check for check in checks.check_libraries()}
    assert set(found) == {"libp2p", "torch", "zstandard"}
    assert found["torch"].state is State.OK
    assert found["libp2p"].state is found["zstandard"].state is State.WRONG
    assert "0.9.0" in found["libp2p"].found
    assert "libp2p==0.8.1" in found["libp2p"].fix


def test_another_distribution_in_the_way(monkeypatch):
    owners = {"robust": ["robust", "p2pfed"], "p2pfed": ["p2pfed"]}
    monkeypatch.setattr(checks, "packages_distributions", lambda: owners)
    found = {check.name: check for check in checks.check_packages()}
    assert found["robust"].state is State.WRONG
    assert found["sim"].state is State.OK
    assert "uninstall" in found["robust"].fix


@pytest.mark.slow
def test_something_wrong_is_exit_code_1(p2pfed, monkeypatch):
    monkeypatch.setattr(checks, "packages_distributions", lambda: {"sim": ["other"]})
    found = p2pfed.json("doctor", code=1)
    assert found["healthy"] is False
    assert p2pfed.err == ""
