"""What every topology of the table is tried with."""

from typing import Any, Final

import topologies
from topologies.registry import TOPOLOGIES

NAMES: Final = sorted(set(TOPOLOGIES) - {"file"})  # which has a test of its own
PARAMETERS: Final[dict[str, dict[str, Any]]] = {"k-regular": {"degree": 4}}
NODES_MIN: Final = {
    "barabasi-albert": 3,
    "complete": 1,
    "dumbbell": 2,
    "erdos-renyi": 1,
    "exponential": 2,
    "geometric": 1,
    "grid": 4,
    "hierarchical": 1,
    "hypercube": 2,
    "k-regular": 5,
    "line": 1,
    "ring": 3,
    "star": 2,
    "stochastic-block": 4,
    "torus": 4,
    "tree": 1,
    "watts-strogatz": 5,
}


def exists(name: str, nodes: int) -> bool:
    """Return whether there is such a topology of so many nodes."""
    if name == "hypercube":
        return nodes & (nodes - 1) == 0 and nodes >= NODES_MIN[name]
    if name in ("torus", "grid"):
        return any(nodes % rows == 0 for rows in range(2, nodes // 2 + 1))
    return nodes >= NODES_MIN[name]


def make(name: str, nodes: int, seed: int = 3) -> topologies.Topology:
    """Make a topology with the parameters above."""
    return topologies.create(name, nodes=nodes, seed=seed, **PARAMETERS.get(name, {}))
