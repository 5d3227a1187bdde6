"""docs/cli.md shows commands that exist, and the exit codes of the program."""

import re
import shlex
from pathlib import Path

import pytest

from p2pfed.cli.output import EXIT_CODES
from tests.cli.test_help import COMMANDS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, flags=re.DOTALL)
EXAMPLES = [line for block in BLOCKS for line in block.splitlines()]


def test_every_command_has_a_section():
    sections = re.findall(r"^## `p2pfed ([a-z -]+?)(?: [A-Z].*)?`$", DOCUMENT, flags=re.MULTILINE)
    assert sorted(sections) == sorted(COMMANDS)


def test_exit_codes():
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \|$", DOCUMENT, flags=re.MULTILINE))
    assert set(rows) == set(map(str, EXIT_CODES))
    for code, meaning in EXIT_CODES.items():
        assert rows[str(code)].startswith(meaning)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_has_options_that_exist(p2pfed, example):
    words = shlex.split(example)[1:]
    command = next(name for name in COMMANDS if words[: len(name.split())] == name.split())
    p2pfed(*command.split(), "--help")
    for word in words:
        if word.startswith("--"):
            assert word in p2pfed.out
