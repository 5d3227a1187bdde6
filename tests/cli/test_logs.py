"""What a command logs: a line for each trouble, and tracebacks for those who ask for them."""

import logging
import sys

import pytest

from p2pfed.cli.logs import OneLine
from tests.cli.command import Process


def record_of_failure() -> logging.LogRecord:
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        info = sys.exc_info()
    return logging.LogRecord("p2pfed.node", logging.ERROR, "", 0, "%s failed", ("training",), info)


def test_a_failure_is_one_line_that_says_how_to_see_more() -> None:
    (line,) = OneLine().format(record_of_failure()).splitlines()
    assert line.endswith("ERROR p2pfed.node: training failed; see where with: p2pfed --debug …")


def test_other_handlers_still_get_the_traceback() -> None:
    record = record_of_failure()
    OneLine().format(record)
    assert "ZeroDivisionError: by zero" in logging.Formatter().format(record)


def test_what_is_no_failure_has_no_hint() -> None:
    record = logging.LogRecord("p2pfed", logging.WARNING, "", 0, "slow", (), None)
    assert OneLine().format(record).endswith("WARNING p2pfed: slow")


@pytest.mark.slow
@pytest.mark.net
def test_a_node_that_diverges_shows_no_traceback(p2pfed, tmp_path) -> None:
    p2pfed.json("init", "mine", "--set", "training.step_rule.learning_rate=1e30")
    words = ("node", "run", "mine", "--listen", "/ip4/127.0.0.1/tcp/0")
    with Process(*words, "--set", "schedule.linger_s=0.1", cwd=tmp_path) as node:
        assert node.end()[0] == 1
        said = "".join(node._lines)
    assert "training failed" in said
    assert "Traceback" not in said
