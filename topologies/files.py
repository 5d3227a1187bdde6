"""Graphs that others have written down: edge lists, GraphML and JSON."""

import json
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError

import networkx as nx

from topologies.errors import TopologyError
from topologies.parameters import check_count, check_path, shown
from topologies.topology import Topology, from_graph

BYTES_MAX: Final = 64 * 1024 * 1024  # some millions of edges; more is a mistake
_DIGITS_MAX: Final = 18  # labels that are numbers, and fit into 64 bits


def from_file(path: str | os.PathLike[str]) -> Topology:
    """Read a topology.

    Labels of nodes that are all whole numbers sort as numbers, not as texts; `from_graph` numbers
    the nodes in sorted order and keeps attributes, such as an edge's `latency_s`.

    Args:
        path: Of a file of at most 64 MiB. `.json` is an object with "edges", a list of pairs or of
            objects with "source" and "target", as networkx's node-link form has them (its older
            "links" too), and optionally "nodes", a number of nodes or a list of labels or of
            objects with "id". `.graphml` is GraphML. All else is an edge list: two labels in each
            line, between them spaces or a comma, and after a `#` comments.

    Raises:
        TopologyError: If the file cannot be read, says something else, or its graph is directed,
            has loops, or is not connected.
    """
    return from_graph(_read(path), name="file")


def file(*, nodes: int, path: str) -> nx.Graph:
    """Read the graph of a file: `from_file`, for those who name topologies.

    Args:
        nodes: How many the file has: whoever says something else has another file in mind.
        path: Of the file, from the folder where the program runs.

    Raises:
        TopologyError: If the file has another number of nodes, or `from_file` would refuse it.

    Source: Brandes et al. 2002, "GraphML progress report"; JSON and edge lists as networkx writes
        them.
    Differs: edge lists have no attributes.
    Cost: O(bytes).
    """
    graph = _read(path)
    if check_count("nodes", nodes, least=1) != len(graph):
        raise TopologyError(f"nodes={nodes}: {path} has {len(graph)}; use nodes={len(graph)}")
    return graph


def _read(path: str | os.PathLike[str]) -> nx.Graph:
    check_path(path)
    try:
        place = Path(path)
        if place.stat().st_size > BYTES_MAX:
            raise TopologyError(f"has more than {BYTES_MAX} bytes; use a smaller file")
        content = place.read_bytes()
        graph = _parse(content, place.suffix.lower())
    except OSError as error:
        complaint = f"cannot be read ({error.strerror or error}); use the name of a file"
        raise TopologyError(f"path={str(path)!r}: {complaint}") from error
    except _UNREADABLE as error:
        raise TopologyError(f"path={str(path)!r}: {error}") from error
    return _with_numbers(graph)


# All that readers raise on bytes that are something else, TopologyError being a ValueError.
_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
    ParseError,
    nx.NetworkXException,
)


def _parse(content: bytes, suffix: str) -> nx.Graph:
    if suffix == ".json":
        return _from_json(content)
    return _from_graphml(content) if suffix == ".graphml" else _from_edge_list(content)


def _from_json(content: bytes) -> nx.Graph:
    found = json.loads(content)
    edges = found.get("edges", found.get("links")) if isinstance(found, dict) else None
    if not isinstance(edges, list):
        raise TopologyError('is no graph; write {"edges": [[0, 1], [1, 2]]}')
    if found.get("directed", False):
        raise TopologyError("is directed; write each edge once, and no direction")
    graph, nodes = nx.Graph(), found.get("nodes", [])
    if not isinstance(nodes, list):
        nodes = list(range(_node_count(nodes, edges)))
    for node in nodes:
        attributes = dict(node) if isinstance(node, dict) else {"id": node}
        label = _label(attributes.pop("id", None))
        graph.add_node(label)
        graph.nodes[label].update(attributes)
    for edge in edges:
        if isinstance(edge, dict):
            attributes = dict(edge)
            ends = [attributes.pop("source", None), attributes.pop("target", None)]
        else:
            attributes, ends = {}, edge if isinstance(edge, list) else []
        if len(ends) != 2:
            raise TopologyError(f"edge {shown(edge)}: write two labels, such as [0, 1]")
        first, second = map(_label, ends)
        graph.add_edge(first, second)
        graph.edges[first, second].update(attributes)
    return graph


def _node_count(nodes: object, edges: list[Any]) -> int:
    # A graph of more nodes than this is not connected, and not worth the memory.
    count = check_count("nodes", nodes, least=1)
    if count > len(edges) + 1:
        raise TopologyError(f"nodes={count}: {len(edges)} edges connect {len(edges) + 1} at most")
    return count


def _label(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TopologyError(f"label {shown(value)}: use a whole number or a text")
    return value


def _from_graphml(content: bytes) -> nx.Graph:
    graph = nx.parse_graphml(content.decode())
    if graph.is_directed():
        raise TopologyError('is directed; write edgedefault="undirected"')
    if graph.is_multigraph():
        raise TopologyError("has parallel edges; write each edge once")
    return graph


def _from_edge_list(content: bytes) -> nx.Graph:
    graph = nx.Graph()
    for number, line in enumerate(content.decode().splitlines(), start=1):
        labels = line.partition("#")[0].replace(",", " ").split()
        if labels and len(labels) != 2:
            raise TopologyError(f"line {number} has {len(labels)} labels; write two, such as 0 1")
        if labels:
            graph.add_edge(*labels)
    return graph


def _with_numbers(graph: nx.Graph) -> nx.Graph:
    """Turn labels that all are whole numbers, written as texts, into numbers."""
    numbers: dict[Hashable, int] = {}
    for label in graph:
        text = str(label)
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
            return graph
        numbers[label] = int(text)
    if len(set(numbers.values())) < len(numbers):
        return graph
    return nx.relabel_nodes(graph, numbers)
