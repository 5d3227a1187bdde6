"""Runs `p2pfed`: inside the test's process, or as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading

from p2pfed.cli.main import main

BOUND_S = 60.0  # far above what any of these commands needs, even on a busy machine


class InProcess:
    """Runs commands in this process and keeps what they print.

    Args:
        capsys: pytest's fixture.
    """

    def __init__(self, capsys):
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words):
        """Run a command; return its exit code."""
        self._capsys.readouterr()
        code = main(list(map(str, words)))
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *words, code=0):
        """Run a command with --json; return the one object that it prints."""
        assert self(*words, "--json") == code, self.err
        return one_object(self.out)

    def error(self, *words, code):
        """Run a command that must fail; return its error."""
        return self.json(*words, code=code)["error"]


class Process:
    """A command as a process.

    Args:
        words: The command line.
        cwd: Where it runs.
    """

    def __init__(self, *words, cwd):
        # Tests in the background of a script are started with SIGINT ignored, and so would this.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "p2pfed.cli.main", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._lines = []
        # Reading a pipe has no deadline of its own; the end of the process ends it.
        self._watchdog = threading.Timer(BOUND_S, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._watchdog.cancel()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()

    def line(self, text):
        """Read stderr until a line holds a text; return the line."""
        for line in self._process.stderr:
            self._lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text!r} never came:\n" + "".join(self._lines))

    def signal(self, number):
        """Send a signal."""
        self._process.send_signal(number)

    def end(self):
        """Wait for the end; return the exit code and what stood on stdout."""
        out, err = self._process.communicate(timeout=BOUND_S)
        self._lines.append(err)
        return self._process.returncode, out

    def result(self, code=0):
        """Wait for the end; return the object that it printed."""
        found, out = self.end()
        assert found == code, "".join(self._lines)
        return one_object(out)


def one_object(text):
    """Return the object that a text is, with nothing before or after it."""
    found = json.loads(text, parse_constant=lambda word: f"{word} is no JSON")
    assert isinstance(found, dict)
    assert text.count("\n") == 1
    return found
