"""All topologies that change, by name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from topologies.dynamic.epidemic import epidemic, peer_sampling
from topologies.dynamic.meetings import one_peer_exponential, random_matchings
from topologies.dynamic.topology import DynamicTopology
from topologies.dynamic.trace import trace
from topologies.parameters import call_by_name
from topologies.registry import TOPOLOGIES

DYNAMIC_TOPOLOGIES: Final[Mapping[str, Callable[..., DynamicTopology]]] = {
    "epidemic": epidemic,
    "one-peer-exponential": one_peer_exponential,
    "peer-sampling": peer_sampling,
    "random-matchings": random_matchings,
    "trace": trace,
}


def dynamic_names() -> tuple[str, ...]:
    """List the names that `create_dynamic` knows, sorted."""
    return tuple(sorted(DYNAMIC_TOPOLOGIES))


def create_dynamic(name: str, *, nodes: int, seed: int = 0, **params: Any) -> DynamicTopology:
    """Make a topology that changes from round to round.

    Args:
        name: One of `dynamic_names()`.
        nodes: How many nodes.
        seed: Of what is random in it, at least 0. Equal arguments give equal rounds, on every
            machine.
        params: Those of the topology; its function documents them.

    Returns:
        The topology.

    Raises:
        TopologyError: If the name or a parameter is unknown, missing or out of range.
    """
    return call_by_name(
        DYNAMIC_TOPOLOGIES,
        name,
        nodes=nodes,
        seed=seed,
        params=params,
        others=TOPOLOGIES,
        hint="it stays as it is: create knows it",
    )
