"""Who talks to whom: connected graphs and their mixing matrices. Needs networkx and NumPy only.

    net = topologies.create("k-regular", nodes=16, degree=4, seed=0)
    net.neighbors(3)
    net.mixing_matrix()

Importing this package is light. Public names load their module when they are first used.
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


def __getattr__(name: str) -> Any:
    """Load the module of a public name on its first use."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
