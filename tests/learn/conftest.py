"""Fetched data, for the few tests that need it."""

from pathlib import Path

import pytest

from p2pfed.learn.fetch import fetch


@pytest.fixture(scope="session")
def fetched() -> dict[str, Path]:
    """The data sets; downloaded once per machine, `make test` does so before it starts."""
    return fetch(["reuters", "minilm"])
