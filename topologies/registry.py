"""All topologies by name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import networkx as nx

from topologies.files import file
from topologies.groups import dumbbell, hierarchical, tree
from topologies.k_regular import k_regular
from topologies.lattices import exponential, grid, hypercube, torus
from topologies.parameters import call_by_name
from topologies.random_shapes import (
    barabasi_albert,
    erdos_renyi,
    geometric,
    stochastic_block,
    watts_strogatz,
)
from topologies.regular_shapes import complete, line, ring, star
from topologies.topology import Topology, from_graph

TOPOLOGIES: Final[Mapping[str, Callable[..., nx.Graph]]] = {
    "barabasi-albert": barabasi_albert,
    "complete": complete,
    "dumbbell": dumbbell,
    "erdos-renyi": erdos_renyi,
    "exponential": exponential,
    "file": file,
    "geometric": geometric,
    "grid": grid,
    "hierarchical": hierarchical,
    "hypercube": hypercube,
    "k-regular": k_regular,
    "line": line,
    "ring": ring,
    "star": star,
    "stochastic-block": stochastic_block,
    "torus": torus,
    "tree": tree,
    "watts-strogatz": watts_strogatz,
}


# What `topologies.dynamic` has, which is not loaded for its names alone.
CHANGING: Final = frozenset(
    {"epidemic", "one-peer-exponential", "peer-sampling", "random-matchings", "trace"}
)


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
        TopologyError: If the name or a parameter is unknown, missing or out of range, or no
            connected graph was found.
    """
    graph = call_by_name(
        TOPOLOGIES,
        name,
        nodes=nodes,
        seed=seed,
        params=params,
        others=CHANGING,
        hint="it changes from round to round: create_dynamic knows it",
    )
    return from_graph(graph, name=name)
