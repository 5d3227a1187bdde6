"""Rounds that somebody has written down, repeated from the first one on when they end."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import networkx as nx

from topologies.dynamic.topology import DynamicTopology
from topologies.errors import TopologyError
from topologies.files import BYTES_MAX, parse_json
from topologies.parameters import check_count, check_path, check_text, shown

_EXAMPLE: Final = '{"rounds": [[[0, 1], [2, 3]], [[1, 2]]]}'


def from_trace(graphs: Iterable[nx.Graph], *, name: str = "trace") -> DynamicTopology:
    """Take one graph for each round, from the first on again when they end.

    Args:
        graphs: At least one; all on the nodes 0 to n - 1. Edges of an undirected graph are used in
            both directions, those of an `nx.DiGraph` lead from sender to receiver. A round need
            not be connected; all of them together are.
        name: What to call it.

    Raises:
        TopologyError: If graphs are not as described.
    """
    given = _listed(graphs)
    check_text("name", name)
    count = len(given[0])
    for number, graph in enumerate(given):
        if graph.is_multigraph() or set(graph) != set(range(count)) or count == 0:
            raise TopologyError(f"graphs[{number}]: use simple graphs on the same nodes 0 to n - 1")
        if nx.number_of_selfloops(graph):
            raise TopologyError(f"graphs[{number}] has self-loops: remove nx.selfloop_edges(graph)")
    rounds = [tuple(tuple(graph.adj[node]) for node in range(count)) for graph in given]
    return _repeat(rounds, count, name)


def _listed(graphs: Iterable[nx.Graph]) -> list[nx.Graph]:
    try:
        given = list(graphs)
    except TypeError:
        raise TopologyError(f"graphs={shown(graphs)}: use a list of networkx.Graph") from None
    if not given:
        raise TopologyError("graphs: there are none; use at least one")
    for number, graph in enumerate(given):
        if not isinstance(graph, nx.Graph):
            raise TopologyError(f"graphs[{number}]={shown(graph)}: use a networkx.Graph")
    return given


def trace(*, nodes: int, path: str) -> DynamicTopology:
    """Read the rounds of a file, from the first on again when they end.

    Args:
        nodes: How many, 0 to n - 1; the file need not name all of them.
        path: Of a JSON file of at most 64 MiB, from the folder where the program runs: an object
            with "rounds", a list of lists of edges, each a pair of numbers. With "directed": true
            edges lead from sender to receiver, otherwise both ways.

    Raises:
        TopologyError: If the file cannot be read or says something else, or its rounds together
            are not connected.

    Source: none; it is what other programs or measurements tell.
    Differs: nothing.
    Cost: O(bytes) once.
    """
    nodes = check_count("nodes", nodes, least=1)
    check_path(path)
    try:
        found = _load(path)
        kind = nx.DiGraph if found.get("directed", False) is True else nx.Graph
        graphs = [_graph(edges, nodes, kind) for edges in found["rounds"]]
        return from_trace(graphs)
    except OSError as error:
        complaint = f"cannot be read ({error.strerror or error}); use the name of a file"
        raise TopologyError(f"path={str(path)!r}: {complaint}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        detail = str(error) if isinstance(error, TopologyError) else f"write {_EXAMPLE}"
        raise TopologyError(f"path={str(path)!r}: {detail}") from error


def _load(path: str | os.PathLike[str]) -> dict[str, Any]:
    place = Path(path)
    if place.stat().st_size > BYTES_MAX:
        raise TopologyError(f"has more than {BYTES_MAX} bytes; use a shorter trace")
    found = parse_json(place.read_text(encoding="utf-8-sig"))
    if not isinstance(found, dict) or not isinstance(found.get("rounds"), list):
        raise TopologyError(f"has no rounds; write {_EXAMPLE}")
    return found


def _graph(edges: Any, nodes: int, kind: type[nx.Graph]) -> nx.Graph:
    graph = nx.empty_graph(nodes, create_using=kind)
    for edge in edges:
        first, second = (check_count("node", end, least=0) for end in edge)
        if max(first, second) >= nodes:
            raise TopologyError(f"node={max(first, second)}: use 0 to {nodes - 1}, or more nodes")
        graph.add_edge(first, second)
    return graph


def _repeat(rounds: Sequence[Sequence[Sequence[int]]], count: int, name: str) -> DynamicTopology:
    union = nx.empty_graph(count, create_using=nx.DiGraph)
    for neighbors in rounds:
        union.add_edges_from((node, other) for node in range(count) for other in neighbors[node])
    if not nx.is_strongly_connected(union):
        parts = nx.number_strongly_connected_components(union)
        raise TopologyError(
            f"rounds: all together leave {parts} parts that do not reach each other; add edges"
        )
    return DynamicTopology(name, count, len(rounds), rounds.__getitem__)
