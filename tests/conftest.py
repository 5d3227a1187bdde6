"""What all tests share: one thread, no hub, repeatable examples, and a list of what did not run."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports torch or transformers; node tests hand both on to their processes.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("default", derandomize=True, deadline=None, max_examples=200)
settings.register_profile("nightly", deadline=None, max_examples=10_000, print_blob=True)
settings.load_profile("default")

HOW_TO_RUN = {
    "nightly": "make nightly",
    "system": "make test-system",
    "gpu": "pytest -m gpu",
}
_not_run: Counter[str] = Counter()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        marker = next((name for name in HOW_TO_RUN if item.get_closest_marker(name)), None)
        if marker is not None:
            _not_run[marker] += 1


@pytest.hookimpl(trylast=True)  # below the section of pytest-cov
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if _not_run:
        counts = ", ".join(f"{_not_run[name]} {name}" for name in HOW_TO_RUN if _not_run[name])
        ways = ", ".join(f"`{way}`" for name, way in HOW_TO_RUN.items() if _not_run[name])
        terminalreporter.write_line(f"not run: {counts}; run them with {ways}")
    reports = config.getoption("cov_report", default=None) or {}
    if reports.get("json"):
        totals = json.loads(Path(reports["json"]).read_text())["totals"]
        terminalreporter.write_line(
            f"coverage: {totals['percent_covered']:.1f} % of lines and branches"
        )
