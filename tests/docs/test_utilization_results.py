"""What the texts say of the time for training is what was measured."""

import re
from pathlib import Path

import pytest

from benchmarks.utilization_report import RECORD, TARGET
from benchmarks.utilization_updates import UPDATES

DOCS = Path(__file__).parents[2] / "docs"
UPDATE = "sparse-sum"


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the results."""
    text = (DOCS / "results" / "utilization.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def least(cell: str) -> float:
    """Return the least share of a cell such as "99.1% (98.2% to 99.3%)"."""
    return min(float(share) / 100.0 for share in re.findall(r"([\d.]+)%", cell))


def test_the_target_is_met() -> None:
    found = [least(row[4]) for row in rows("With the record's steps") if row[0] == f"`{UPDATE}`"]
    assert len(found) == 4
    assert min(found) >= TARGET > RECORD


@pytest.mark.parametrize("name", UPDATES)
def test_the_guide_says_what_was_measured(name: str) -> None:
    guide = (DOCS / "schedules.md").read_text(encoding="utf-8")
    payload = UPDATES[name].payload_bytes / 1e6
    shares = {
        (row[1], row[2]): f"{100.0 * least(row[4]):.1f}"
        for row in rows("With the record's steps")
        if row[0] == f"`{name}`"
    }
    cells = [
        shares[graph, mode]
        for graph in ("4-regular", "complete")
        for mode in ("asynchronous", "synchronous")
    ]
    assert f"| `{name}` | {payload:.2f} | {' | '.join(cells)} |" in guide
