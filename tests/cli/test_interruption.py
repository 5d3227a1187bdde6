"""A process that hangs while it leaves ends itself in time."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

LEAVE_S_MAX = 30.0  # far above the 3 s that an idle machine needs, far below any linger
# Its main thread, where an event loop would run, never comes back. It wakes now and then, because
# CPython can overlook a second signal that comes just when the handler of the first one ends.
HANGS = """
import threading
from p2pfed.node.interruption import interruptible
with interruptible(lambda: print("told", flush=True)):
    print("ready", flush=True)
    while True:
        threading.Event().wait(0.05)
"""
ENDS = """
import signal
from p2pfed.node.interruption import interruptible
before = signal.getsignal(signal.SIGINT)
with interruptible(lambda: None):
    assert signal.getsignal(signal.SIGINT) is not before
assert signal.getsignal(signal.SIGINT) is before
"""


@contextmanager
def hanging():
    with subprocess.Popen(
        [sys.executable, "-c", HANGS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.slow
def test_hanging_process_ends_in_time():
    with hanging() as first, hanging() as second:
        asked_s = time.perf_counter()
        first.send_signal(signal.SIGINT)
        second.send_signal(signal.SIGTERM)
        for process in (first, second):
            assert process.stdout.readline() == "told\n"
            assert process.wait() == 130
            assert time.perf_counter() - asked_s < LEAVE_S_MAX
            assert "leaving" in process.stderr.readline()
            assert "has not left" in process.stderr.readline()


@pytest.mark.slow
def test_second_signal_ends_at_once():
    with hanging() as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "told\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
        assert "has not left" not in process.stderr.read()


def test_undisturbed_process_is_left_as_it_was():
    subprocess.run([sys.executable, "-c", ENDS], check=True, timeout=30)
