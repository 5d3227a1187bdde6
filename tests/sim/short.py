"""A scenario that takes a quarter of a second, for tests of what is around simulations."""

from typing import Any

SHORT: dict[str, Any] = {
    "run": {"name": "short"},
    "training": {"steps_per_round": 1, "threads": 1},
    "integration": {"rule": "mean"},
    "schedule": {"rounds_max": 2, "linger_s": 1.0},
    "topology": {"name": "ring", "nodes": 3},
}
