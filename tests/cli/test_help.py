"""Every command explains itself, and none pays for what it does not use."""

import json
import subprocess
import sys

import pytest
from typer.main import get_command

from p2pfed.cli.main import app
from p2pfed.cli.output import EXIT_CODES

COMMANDS = [
    "init",
    "node replay",
    "node run",
    "node status",
    "sim compare",
    "sim replay",
    "sim report",
    "sim run",
    "topology recommend",
    "sim sweep",
    "sim trace-diff",
    "topology show",
    "data fetch",
    "export",
    "doctor",
    "demo",
]
HEAVY = {"torch", "libp2p", "peft", "transformers", "trio", "numpy", "networkx"}
MEASURE = """
import json, sys
from p2pfed.cli.main import main
for words in {commands!r}:
    assert main([*words.split(), "--help"]) == 0
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(p2pfed, command):
    assert p2pfed(*command.split(), "--help") == 0
    assert "Example" in p2pfed.out
    assert f"p2pfed {command}" in p2pfed.out
    assert p2pfed.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_json(p2pfed, command):
    p2pfed(*command.split(), "--help")
    assert "--json" in p2pfed.out


def all_commands(command, words=()):
    """Yield every group and command as typer makes it, with its words."""
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from all_commands(below, (*words, name))


def test_help_shows_all_texts_as_they_are_written(p2pfed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # so that nothing is wrapped
    found = dict(all_commands(get_command(app)))
    assert {" ".join(words) for words in found} > set(COMMANDS)
    for words, command in found.items():
        assert p2pfed(*words, "--help") == 0
        texts = [command.help, command.epilog, *(getattr(it, "help", "") for it in command.params)]
        texts += [it.get_short_help_str(1000) for it in getattr(command, "commands", {}).values()]
        for paragraph in "\n\n".join(text or "" for text in texts).split("\n\n"):
            assert " ".join(paragraph.split()) in " ".join(p2pfed.out.split()), words


def test_help_lists_the_exit_codes(p2pfed):
    assert p2pfed("--help") == 0
    for code, meaning in EXIT_CODES.items():
        assert f"{code}: {meaning}" in p2pfed.out


def test_help_is_light():
    run = subprocess.run(
        [sys.executable, "-c", MEASURE.format(commands=["", *COMMANDS])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY & set(json.loads(run.stderr)) == set()


def test_version(p2pfed):
    assert p2pfed("--version") == 0
    assert p2pfed.out.startswith("p2pfed 0.")
