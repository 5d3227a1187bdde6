"""A scenario that takes a quarter of a second, for tests of what is around simulations."""

from typing import Any

SHORT: dict[str, Any] = {
    "run": {"name": "short"},
    "training": {"steps_per_round": 1, "threads": 1},
    "integration": {"rule": "mean"},
    "schedule": {"rounds_max": 2, "linger_s": 1.0},
    "topology": {"name": "ring", "nodes": 3},
}


def make(**tables: Any) -> dict[str, Any]:
    """Return a scenario of four peers on a ring with more tables."""
    return {"run": {"task": "digits"}, "topology": {"name": "ring", "nodes": 4}, **tables}
