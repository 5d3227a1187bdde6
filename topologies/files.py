"""Graphs that others have written down: edge lists, GraphML, GML and JSON."""

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import ParseError, fromstring

import networkx as nx

from topologies.errors import TopologyError
from topologies.parameters import check_count, check_path, shown
from topologies.topology import Topology, check_graph, from_graph

BYTES_MAX: Final = 64 * 1024 * 1024  # some millions of edges; more is a mistake
_DIGITS_MAX: Final = 18  # labels that are numbers, and fit into 64 bits


def from_file(path: str | os.PathLike[str]) -> Topology:
    """Read a topology.

    Labels of nodes that are all whole numbers sort as numbers, not as texts; `from_graph` numbers
    the nodes in sorted order and keeps attributes, such as an edge's `latency_s`.

    Args:
        path: Of a file of at most 64 MiB, whose suffix says what it is. `.json` is an object with
            "edges", a list of pairs or of objects with "source" and "target", as networkx's
            node-link form has them (its older "links" too), and optionally "nodes", a number of
            nodes or a list of labels or of objects with "id". `.graphml` and `.xml` are GraphML,
            `.gml` is GML, whose nodes are called by "label" if all have one, and else by "id". All
            else is an edge list: two labels in each line, between them spaces or a comma, behind
            them nothing or the `{}` of networkx, and after a `#` comments. An edge that is there
            twice is one if both are alike, and refused in GraphML and GML.

    Raises:
        TopologyError: Naming the file, if it cannot be read, says something else, or its graph is
            directed, has loops, is not connected, or has an edge twice that is not the same.
    """
    return from_graph(_read(path), name="file")


def file(*, nodes: int, path: str) -> nx.Graph:
    """Read the graph of a file: `from_file`, for those who name topologies.

    Args:
        nodes: How many the file has: whoever says something else has another file in mind.
        path: Of the file, from the folder where the program runs.

    Raises:
        TopologyError: If the file has another number of nodes, or `from_file` would refuse it.

    Source: Brandes et al. 2002, "GraphML progress report"; Himsolt 1997, "GML: a portable graph
        file format"; JSON and edge lists as networkx writes them.
    Differs: edge lists have no attributes.
    Cost: O(bytes).
    """
    graph = _read(path)
    if check_count("nodes", nodes, least=1) != len(graph):
        raise TopologyError(f"nodes={nodes}: {path} has {len(graph)}; use nodes={len(graph)}")
    return graph


def _read(path: str | os.PathLike[str]) -> nx.Graph:
    check_path(path)
    place = Path(path)
    try:
        if place.stat().st_size > BYTES_MAX:
            raise TopologyError(f"has more than {BYTES_MAX} bytes; use a smaller file")
        content = place.read_bytes()
        graph = _with_numbers(_parse(content, _form(place)))
        check_graph(graph)
    except OSError as error:
        complaint = f"cannot be read ({error.strerror or error}); use the name of a file"
        raise TopologyError(f"path={str(path)!r}: {complaint}") from error
    except TopologyError as error:
        raise TopologyError(f"path={str(path)!r}: {error}") from error
    except _UNREADABLE as error:
        complaint = f"cannot be read as {_form(place)} ({error}); mend it; {_SUFFIXES}"
        raise TopologyError(f"path={str(path)!r}: {complaint}") from error
    return graph


# All that readers raise on bytes that are something else.
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


_FORMS: Final = {".json": "JSON", ".graphml": "GraphML", ".xml": "GraphML", ".gml": "GML"}
_SUFFIXES: Final = (
    "a file that ends in .json is JSON, in .graphml or .xml GraphML, in .gml GML, and any other is "
    "an edge list"
)


def _form(place: Path) -> str:
    return _FORMS.get(place.suffix.lower(), "an edge list")


def _parse(content: bytes, form: str) -> nx.Graph:
    text = content.decode("utf-8-sig")
    if not text.strip():
        raise TopologyError(f"is empty; write a graph as {form}; {_SUFFIXES}")
    match form:
        case "JSON":
            return _from_json(text)
        case "GraphML":
            return _from_graphml(text)
        case "GML":
            return _from_gml(text)
        case _:
            return _from_edge_list(text)


def parse_json(text: str) -> Any:
    """Return what JSON says.

    Raises:
        TopologyError: If an object has a key twice, of which one would be lost.
        ValueError: If it is no JSON.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise TopologyError(f"an object has the key {shown(twice)} twice; leave one")
    return found


def _from_json(text: str) -> nx.Graph:
    found = parse_json(text)
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
        if label in graph and graph.nodes[label] != attributes:
            both = f"{shown(graph.nodes[label])} and {shown(attributes)}"
            raise TopologyError(f"node {shown(label)} is there twice, with {both}; leave one")
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
        _add_edge(graph, [_label(end) for end in ends], attributes)
    return graph


def _add_edge(graph: nx.Graph, ends: Sequence[int | str], attributes: Mapping[str, Any]) -> None:
    if graph.has_edge(*ends) and graph.edges[*ends] != attributes:
        both = f"{shown(graph.edges[*ends])} and {shown(attributes)}"
        fix = "leave one: edges have no direction"
        raise TopologyError(f"edge {shown(list(ends))} is there twice, with {both}; {fix}")
    graph.add_edge(*ends)
    graph.edges[*ends].update(attributes)


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


def _from_graphml(text: str) -> nx.Graph:
    # The reader calls what has no name "None".
    root = fromstring(text)  # noqa: S314 - networkx reads it in the same way
    for tag, names in (("node", ("id",)), ("edge", ("source", "target"))):
        for element in root.iterfind(f".//{{*}}{tag}"):
            for name in names:
                if name not in element.attrib:
                    complaint = f"{tag} {shown(element.attrib)} has no {name}; write it"
                    raise TopologyError(complaint)
    graph = nx.parse_graphml(text)
    if graph.is_directed():
        raise TopologyError('is directed; write edgedefault="undirected"')
    return _without_parallels(graph)


def _from_gml(text: str) -> nx.Graph:
    graph = nx.parse_gml(text, label="id")
    if graph.is_directed():
        raise TopologyError("is directed; write directed 0, and each edge once")
    labels = nx.get_node_attributes(graph, "label")
    if len(labels) == len(graph):
        if len(set(labels.values())) < len(labels):
            raise TopologyError("has two nodes with one label; write labels that differ, or none")
        graph = nx.relabel_nodes(graph, {node: _label(it) for node, it in labels.items()})
    return _without_parallels(graph)


def _without_parallels(graph: nx.Graph) -> nx.Graph:
    if not graph.is_multigraph():
        return graph
    for first, second in graph.edges():
        if graph.number_of_edges(first, second) > 1:
            raise TopologyError(f"edge {shown([first, second])} is there twice; write it once")
    return nx.Graph(graph)


def _from_edge_list(text: str) -> nx.Graph:
    graph = nx.Graph()
    for number, line in enumerate(text.splitlines(), start=1):
        labels = line.partition("#")[0].replace(",", " ").split()
        if labels[2:] == ["{}"]:  # what networkx writes behind an edge without attributes
            del labels[2]
        if len(labels) > 2:
            complaint = (
                f"line {number} has {shown(' '.join(labels[2:]))} behind two labels; write the "
                "labels alone: edge lists have no weights and attributes, JSON, GraphML and GML do"
            )
            raise TopologyError(f"{complaint}; {_SUFFIXES}")
        if len(labels) == 1:
            complaint = (
                f"line {number} has the one label {shown(labels[0])}; write two, such as 0 1"
            )
            raise TopologyError(f"{complaint}; {_SUFFIXES}")
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
