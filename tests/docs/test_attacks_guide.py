"""docs/attacks.md: its examples run."""

import re
from pathlib import Path
from typing import Any

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_examples_do_what_they_say() -> None:
    names: dict[str, Any] = {}
    view, rounds = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(view, names)  # noqa: S102  # the guide's own text
    assert names["lie"].shape == (100,)
    exec(rounds, names)  # noqa: S102
    assert names["result"].config["attack"] == {"name": "min-max", "direction": "deviation"}
    assert names["result"].liar_reasons
    assert names["own"].config["attack"] == {"name": "upside_down"}
    assert names["own"].worst_accuracy > 0.5
