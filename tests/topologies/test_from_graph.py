"""Any graph of networkx becomes a topology, or the reason why not is said."""

from typing import Any

import networkx as nx
import pytest

import topologies


def test_labels_become_numbers_in_sorted_order() -> None:
    graph = nx.Graph([("c", "a"), ("b", "c")], place="here")
    graph.nodes["b"]["slow"] = True
    graph.edges["a", "c"]["latency_s"] = 0.1
    net = topologies.from_graph(graph)
    assert net.name == "custom"
    assert list(net.graph.edges(data=True)) == [(0, 2, {"latency_s": 0.1}), (1, 2, {})]
    assert dict(net.graph.nodes(data=True)) == {
        0: {"label": "a"},
        1: {"label": "b", "slow": True},
        2: {"label": "c"},
    }
    assert net.graph.graph == {"place": "here"}


def test_order_of_insertion_does_not_matter() -> None:
    first = topologies.from_graph(nx.Graph([(3, 1), (1, 2)]))
    second = topologies.from_graph(nx.Graph([(2, 1), (1, 3)]))
    assert list(first.graph.edges) == list(second.graph.edges) == [(0, 1), (0, 2)]


def test_labels_that_cannot_be_sorted_keep_their_order() -> None:
    net = topologies.from_graph(nx.Graph([("b", 1), (1, "a")]))
    assert [label for _, label in net.graph.nodes(data="label")] == ["b", 1, "a"]


def test_given_graph_is_copied() -> None:
    graph = nx.path_graph(3)
    net = topologies.from_graph(graph, name="mine")
    graph.add_edge(0, 2)
    assert net.name == "mine"
    assert list(net.graph.edges) == [(0, 1), (1, 2)]
    graph.edges[0, 1]["latency_s"] = 1.0
    assert net.graph.edges[0, 1] == {}


def test_attributes_of_edges_may_be_set() -> None:
    net = topologies.create("ring", nodes=4)
    net.graph.edges[0, 1]["latency_s"] = 0.05
    assert net.graph.edges[1, 0] == {"latency_s": 0.05}


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (nx.Graph(), "without nodes"),
        (nx.DiGraph([(0, 1)]), "DiGraph"),
        (nx.MultiGraph([(0, 1)]), "MultiGraph"),
        (nx.Graph([(0, 1), (1, 1)]), "self-loops at 1"),
        (nx.Graph([(0, 1), (2, 3), (3, 4)]), "in 2 parts, the smallest of 2 nodes"),
    ],
)
def test_unusable_graphs_are_refused(graph: nx.Graph, complaint: str) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.from_graph(graph)


@pytest.mark.parametrize("given", [[(0, 1)], None, "ring"], ids=str)
def test_what_is_no_graph_is_told(given: Any) -> None:
    with pytest.raises(topologies.TopologyError, match=r"graph=.*networkx\.Graph"):
        topologies.from_graph(given)
