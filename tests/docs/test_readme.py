"""What the README tells a newcomer to do, done."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from p2pfed.cli.main import main
from p2pfed.demo.plan import free_ports
from tests.processes import BOUND_S

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def commands():
    """Return every `p2pfed` command of the README as words."""
    lines = [line for block in SHELL for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line.replace(".venv/bin/", ""), comments=True) for line in lines]
    return [each for each in words if each and each[0] == "p2pfed"]


def run(*words, folder, **options):
    """Run a p2pfed command in a folder, as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "p2pfed.cli.main", *words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done


@cache
def help_of(*subcommand):
    """Return the help of a command."""
    shown = StringIO()
    with redirect_stdout(shown):
        assert main([*subcommand, "--help"]) == 0
    return shown.getvalue()


@pytest.fixture
def init(monkeypatch, tmp_path):
    """Return `p2pfed init` of a task of p2pfed's, in this process and in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))  # `main` adds the folder to it

    def made(*words):
        assert main(["init", *words]) == 0

    return made


@contextmanager
def started(words, folder):
    """Start a process whose output can be read line by line; end it with the block."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(BOUND_S, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait(BOUND_S)
        process.stdout.close()


def find(process, pattern):
    """Read output until a line matches; return the first group."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if (found := re.search(pattern, line)) is not None:
            return found.group(1)
    raise AssertionError(f"{pattern!r} never came:\n" + "".join(seen))


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_command_and_its_options_exist(words):
    subcommand = [word for word in words[1:3] if not word.startswith("-")]
    two_words = subcommand[0] in {"node", "sim", "topology", "data"}
    shown = help_of(*subcommand[: 2 if two_words else 1])
    for word in words:
        if word.startswith("--"):
            assert word in shown


@pytest.mark.parametrize("code", PYTHON)
def test_python_block_compiles(code):
    compile(code, "README.md", "exec")


@pytest.mark.net
def test_two_nodes_in_two_terminals(init, tmp_path):
    (port,) = free_ports(1)
    listen = f"/ip4/127.0.0.1/tcp/{port}"
    for index, name in enumerate(("one", "two")):
        share = ["--set", f"share.index={index}", "--set", "share.count=2"]
        init(name, "--task", "digits", *share)
    ours = [sys.executable, "-m", "p2pfed.cli.main", "node", "run"]
    few = ["--rounds", "6", "--set", "schedule.linger_s=2.0", "--wait-neighbors", "1"]
    with started([*ours, "one", "--listen", listen, *few], tmp_path) as one:
        address = find(one, rf"({listen}/p2p/\w+)")
        done = run("node", "run", "two", "--peer", address, *few, "--json", folder=tmp_path)
        assert find(one, r"(training ended)")
    outcome = json.loads(done.stdout)
    assert outcome["rounds"] == 6
    assert list(outcome["weights_by_peer"]) == [address.rpartition("/")[2]]


@pytest.mark.net
@pytest.mark.nightly
def test_newcomer_takes_the_genesis_from_a_member(tmp_path):
    (port,) = free_ports(1)
    run("init", "ward-a", "--task", "digits", "--name", "trial", folder=tmp_path)
    ours = [sys.executable, "-m", "p2pfed.cli.main", "node", "run"]
    listen = f"/ip4/127.0.0.1/tcp/{port}"
    few = ["--rounds", "4", "--set", "schedule.linger_s=2.0", "--wait-neighbors", "1"]
    with started([*ours, "ward-a", "--listen", listen, *few], tmp_path) as first:
        address = find(first, rf"({listen}/p2p/\w+)")
        run("init", "ward-b", "--from", address, folder=tmp_path)
        genesis = [
            (tmp_path / name / "genesis.msgpack").read_bytes() for name in ("ward-a", "ward-b")
        ]
        assert genesis[0] == genesis[1]
        done = run("node", "run", "ward-b", *few, "--json", folder=tmp_path)
    assert json.loads(done.stdout)["weights_by_peer"]


def test_own_dataset(tmp_path):
    (code,) = [each for each in PYTHON if "def make(" in each]
    (tmp_path / "mytask.py").write_text(code, encoding="utf-8")
    run("init", "mine", "--task", "mytask:make", folder=tmp_path)
    done = run(
        "node",
        "run",
        "mine",
        "--rounds",
        "5",
        "--set",
        "schedule.linger_s=0.0",
        "--json",
        folder=tmp_path,
    )
    assert json.loads(done.stdout)["rounds"] == 5


def test_own_csv(init, tmp_path):
    rows = ["age,pressure,outcome"]
    rows += [f"{20 + i % 60},{100 + i},{'yes' if i % 60 > 30 else 'no'}" for i in range(120)]
    (tmp_path / "patients.csv").write_text("\n".join(rows), encoding="utf-8")
    (words,) = [each for each in commands() if "p2pfed.learn.tabular:csv_task" in each]
    assert words[:2] == ["p2pfed", "init"]
    init(*words[2:])
    done = run(
        "node",
        "run",
        "clinic",
        "--rounds",
        "3",
        "--set",
        "schedule.linger_s=0.0",
        "--json",
        folder=tmp_path,
    )
    assert json.loads(done.stdout)["test_score"] is not None


@pytest.mark.net
def test_example_of_a_training_loop(tmp_path):
    example = [sys.executable, str(ROOT / "examples" / "embed_loop.py"), "--rounds", "8"]
    with started([*example, "--state", "one"], tmp_path) as one:
        address = find(one, r"others can dial: (\S+)")
        with started([*example, "--state", "two", "--peer", address], tmp_path) as two:
            logs = [each.stdout.read() for each in (one, two)]
    accuracies = [float(re.search(r"accuracy ([\d.]+)", log).group(1)) for log in logs]
    assert min(accuracies) > 0.5
    # Rows that arrive too late would leave the list empty, and the peers alone.
    assert all(len(re.findall(r"weights \[\d", log)) >= 6 for log in logs)
    assert (tmp_path / "two" / "model" / "model.safetensors").exists()


@pytest.mark.net
def test_example_of_a_trio_program(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "trio_program.py")],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert done.returncode == 0, done.stderr
    final = re.search(r"one: round 19, accuracy ([\d.]+)", done.stdout)
    assert final is not None
    assert float(final[1]) > 0.8
    assert re.search(r"two sent \d{5,} bytes", done.stdout)
