"""All topologies by name."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, Final

import networkx as nx

from topologies.errors import TopologyError
from topologies.k_regular import k_regular
from topologies.parameters import check_count
from topologies.regular_shapes import complete, line, ring, star
from topologies.topology import Topology, from_graph

TOPOLOGIES: Final[Mapping[str, Callable[..., nx.Graph]]] = {
    "complete": complete,
    "k-regular": k_regular,
    "line": line,
    "ring": ring,
    "star": star,
}


def names() -> tuple[str, ...]:
    """List the names that `create` knows, sorted."""
    return tuple(sorted(TOPOLOGIES))


def create(name: str, *, nodes: int, seed: int = 0, **params: Any) -> Topology:
    """Make a topology.

    Args:
        name: One of `names()`.
        nodes: How many nodes.
        seed: Of what is random in it, at least 0. Equal arguments give equal graphs, on every
            machine.
        params: Those of the topology; its function documents them.

    Returns:
        The topology.

    Raises:
        TopologyError: If the name or a parameter is unknown, missing or out of range.
    """
    if name not in TOPOLOGIES:
        raise TopologyError(f"name={name!r}: unknown topology; use one of {', '.join(names())}")
    build = TOPOLOGIES[name]
    accepted = signature(build).parameters
    own_params = sorted(set(accepted) - {"nodes", "seed"})
    unknown = sorted(set(params) - set(own_params))
    missing = [
        key for key in own_params if accepted[key].default is Parameter.empty and key not in params
    ]
    if unknown or missing:
        complaint = f"unknown {unknown}" if unknown else f"missing {missing}"
        raise TopologyError(
            f"parameters of {name!r}: {complaint}; besides nodes and seed it takes {own_params}"
        )
    seed = check_count("seed", seed, least=0)
    if "seed" in accepted:
        params["seed"] = seed
    return from_graph(build(nodes=nodes, **params), name=name)
