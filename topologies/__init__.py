"""Who talks to whom: connected graphs and their mixing matrices. Needs networkx and NumPy only.

What is public, by what it is for:

* A graph that stays: `create` makes a `Topology` by a name of `names()`, `from_graph` takes any
  graph of networkx, and `from_file` reads one.
* A graph for each round: `create_dynamic` makes a `DynamicTopology` by a name of `dynamic_names()`,
  and `from_trace` takes the graphs that it is given. Each of them is a `Round`.
* Which one to take: `recommend` compares those with few enough neighbors, and returns a
  `Recommendation` with its reasons.
* Averaging: `check_mixing_matrix` complains about weights with which gossip would not come to the
  mean, and `push_sum` comes to it where edges have directions.
* Errors: a `TopologyError` names the parameter, its value, and what to do.

A ring, and a graph that changes:

>>> import topologies
>>> ring = topologies.create("ring", nodes=5)
>>> ring.neighbors(3), round(ring.spectral_gap(), 2)
([2, 4], 0.46)
>>> topologies.create_dynamic("one-peer-exponential", nodes=8).at(1).in_neighbors()[0]
(6,)

Importing this package is light. Public names load their module when they are first used.
docs/topologies.md is the guide.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from topologies.checks import check_mixing_matrix as check_mixing_matrix
    from topologies.dynamic.registry import create_dynamic as create_dynamic
    from topologies.dynamic.registry import dynamic_names as dynamic_names
    from topologies.dynamic.round import Round as Round
    from topologies.dynamic.topology import DynamicTopology as DynamicTopology
    from topologies.dynamic.trace import from_trace as from_trace
    from topologies.errors import TopologyError as TopologyError
    from topologies.files import from_file as from_file
    from topologies.pushing import push_sum as push_sum
    from topologies.recommendation import Recommendation as Recommendation
    from topologies.recommendation import recommend as recommend
    from topologies.registry import create as create
    from topologies.registry import names as names
    from topologies.topology import Topology as Topology
    from topologies.topology import from_graph as from_graph

__p2pfed__: Final = True

# Public name -> the module that defines it.
_PUBLIC: Final = {
    "DynamicTopology": "topologies.dynamic.topology",
    "Recommendation": "topologies.recommendation",
    "Round": "topologies.dynamic.round",
    "Topology": "topologies.topology",
    "TopologyError": "topologies.errors",
    "check_mixing_matrix": "topologies.checks",
    "create": "topologies.registry",
    "create_dynamic": "topologies.dynamic.registry",
    "dynamic_names": "topologies.dynamic.registry",
    "from_file": "topologies.files",
    "from_graph": "topologies.topology",
    "from_trace": "topologies.dynamic.trace",
    "names": "topologies.registry",
    "push_sum": "topologies.pushing",
    "recommend": "topologies.recommendation",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Load the module of a public name on its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
