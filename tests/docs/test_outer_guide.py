"""docs/outer.md: its examples run."""

import re
from pathlib import Path
from typing import Any

TEXT = (Path(__file__).parents[2] / "docs" / "outer.md").read_text(encoding="utf-8")


def test_examples_do_what_they_say() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)  # noqa: S102  # the guide's own text
    assert float(names["model"].norm()) > 0
    assert len(names["payload"]) < 300
