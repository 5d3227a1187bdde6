"""Peers on the nodes of a graph: identities and neighbor tables."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import networkx as nx

from p2pfed.core.config import CoreConfig, NeighborAddress
from sim.adversaries.adversary import Adversary
from sim.benches import Bench
from sim.identities import identity_of
from sim.member import Member, make_core
from sim.reading import SharedReader


def address_of(index: int) -> str:
    """Return the address of a simulated machine: 10.0.0.0 has room for 16 million."""
    return f"/ip4/10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}/tcp/4001"


def overlay(
    graph: nx.Graph,
    config: CoreConfig | Callable[[int], CoreConfig],
    make_bench: Callable[[int], Bench],
    *,
    seed: int,
    adversaries: Mapping[int, Adversary] | None = None,
) -> list[Member]:
    """Make the members of a world, each configured with its neighbors in the graph.

    Args:
        graph: Nodes are 0 to n - 1.
        config: Of every peer, or of each by number; neighbors and addresses are filled in.
        make_bench: Called with a peer's number at the beginning of each of its lives.
        seed: Of the identities.
        adversaries: Of hostile peers, by number.
    """
    identities = [identity_of(seed, index) for index in range(len(graph))]
    reader = SharedReader()
    make = partial(make_core, reader=reader)
    members = []
    for index, identity in enumerate(identities):
        told = config(index) if callable(config) else config
        membership = replace(
            told.membership,
            announce=(address_of(index),),
            neighbors=tuple(
                NeighborAddress(peer=identities[other].peer, addresses=(address_of(other),))
                for other in sorted(graph[index])
            ),
        )
        members.append(
            Member(
                identity=identity,
                config=replace(told, membership=membership),
                make_bench=lambda index=index: make_bench(index),  # type: ignore[misc]
                adversary=(adversaries or {}).get(index),
                make_core=make,
                reader=reader,
            )
        )
    return members
