"""What all tests share: one thread, no hub, repeatable examples, and a list of what did not run."""

import functools
import json
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before anything imports torch or transformers; node tests hand both on to their processes.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("default", derandomize=True, deadline=None, max_examples=200)
settings.register_profile("nightly", deadline=None, max_examples=10_000, print_blob=True)
settings.load_profile("default")

# Coverage makes Python code two or three times slower. Later examples of a property are run without
# it, as whole searches marked no_cover are: they look for failures, not for lines.
EXAMPLES_MEASURED = 5

HOW_TO_RUN = {
    "nightly": "make nightly",
    "system": "make test-system",
    "gpu": "pytest -m gpu",
    "compiled": "make test-compiled",
}
_not_run: Counter[str] = Counter()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        marker = next((name for name in HOW_TO_RUN if item.get_closest_marker(name)), None)
        if marker is not None:
            _not_run[marker] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Pause coverage when a property has had its first examples."""
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    coverage = getattr(item.config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    if handle is None or coverage is None or item.get_closest_marker("no_cover") is not None:
        return (yield)
    inner_test, example_count = handle.inner_test, 0

    @functools.wraps(inner_test)  # hypothesis derives its seed from what is wrapped
    def one_example(*args: Any, **kwargs: Any) -> Any:
        nonlocal example_count
        example_count += 1
        if example_count == EXAMPLES_MEASURED + 1:
            coverage.pause()
        return inner_test(*args, **kwargs)

    handle.inner_test = one_example
    try:
        return (yield)
    finally:
        handle.inner_test = inner_test
        if example_count > EXAMPLES_MEASURED:
            coverage.resume()


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
