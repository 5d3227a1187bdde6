"""Parts have as many peers as each other, and few edges between them."""

import networkx as nx
import pytest

import topologies
from sim.parts.shares import part_of_each

GRAPHS = {
    "ring": nx.cycle_graph(7),
    "line": nx.path_graph(3),
    "pair": nx.path_graph(2),
    "star": nx.star_graph(8),
    "complete": nx.complete_graph(5),
    "apart": nx.Graph([(0, 1), (2, 3)]),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS.keys())
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_are_as_large_as_each_other(graph: nx.Graph, parts: int) -> None:
    parts = min(parts, len(graph))
    found = part_of_each(graph, parts)
    sizes = [found.count(part) for part in range(parts)]
    assert sum(sizes) == len(graph)
    assert max(sizes) - min(sizes) <= 1


def crossing(graph: nx.Graph, part_of: list[int]) -> float:
    crossed = sum(part_of[first] != part_of[second] for first, second in graph.edges)
    return crossed / graph.number_of_edges()


def test_few_edges_of_a_random_graph_are_cut() -> None:
    graph = topologies.create("k-regular", nodes=500, degree=4, seed=0).graph
    assert crossing(graph, part_of_each(graph, 2)) < 0.25  # half of them by number


def test_numbers_are_kept_where_they_do_better() -> None:
    graph = nx.path_graph(64)
    assert part_of_each(graph, 4) in (
        [k // 16 for k in range(64)],
        [3 - k // 16 for k in range(64)],
    )


def test_two_cliques_are_two_parts() -> None:
    graph = nx.relabel_nodes(nx.barbell_graph(8, 0), {k: k * 2 % 16 + k // 8 for k in range(16)})
    part_of = part_of_each(graph, 2)
    assert crossing(graph, part_of) == 1 / graph.number_of_edges()
    assert part_of == part_of_each(graph, 2)
