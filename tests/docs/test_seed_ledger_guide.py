"""docs/seed-ledger.md: its example runs."""

import re
from pathlib import Path
from typing import Any

TEXT = (Path(__file__).parents[2] / "docs" / "seed-ledger.md").read_text(encoding="utf-8")


def test_example_does_what_it_says() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)  # noqa: S102  # the guide's own text
    goal, start, model = names["goal"], names["start"], names["model"]
    assert float((model - goal).norm()) < 0.9 * float((start - goal).norm())
    assert len(names["payload"]) < 1_000
