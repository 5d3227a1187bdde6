"""Numbers of the attack matrix as text."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any


def table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def shares(*values: float) -> str:
    """Return shares as whole percents."""
    return " / ".join(f"{100.0 * value:.0f}" for value in values)


def mean(runs: Iterable[Mapping[str, Any]], name: str, digits: int = 3) -> str:
    """Return the mean of what some runs found, empty where none did."""
    values = [run["result"][name] for run in runs if run["result"][name] is not None]
    return f"{fmean(values):.{digits}f}" if values else ""


def spread(values: Sequence[float]) -> str:
    """Return the mean and, of several values, the least and the most."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
