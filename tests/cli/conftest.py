"""A command runner for all tests of the command line."""

import sys

import pytest

from tests.cli.command import InProcess


@pytest.fixture
def p2pfed(capsys, monkeypatch, tmp_path):
    """Return a runner of commands in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))  # `main` adds the folder to it
    return InProcess(capsys)
