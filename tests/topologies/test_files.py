"""Graphs from files: what other programs write is read, anything else is refused with advice."""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from topologies import files

EDGES = [(0, 1), (0, 2), (1, 2), (2, 10)]
GRAPHML = '<graphml><graph edgedefault="undirected"><node id="0"/>{}</graph></graphml>'
NUMBERED = [(0, 1), (0, 2), (1, 2), (2, 3)]


@pytest.fixture
def graph() -> nx.Graph:
    graph = nx.Graph(EDGES)
    graph.edges[0, 1]["latency_s"] = 0.25
    return graph


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.txt", "0 1\n0 2  # the second\n\n# all but one\n1 2\n2 10\n"),
        ("commas.csv", "0,1\n0,2\n1, 2\n2,10\n"),
        ("noname", "2\t10\n1 2\n0 2\n0 1"),
        ("twice.txt", "0 1\n1 0\n0 2\n1 2\n2 10\n"),
        ("networkx.txt", "0 1 {}\n0 2 {}\n1 2 {}\n2 10 {}\n"),
        ("networkx.csv", "0,1,{}\n0,2,{}\n1,2,{}\n2,10,{}\n"),
        ("marked.txt", "\ufeff0 1\n0 2\n1 2\n2 10\n"),
        ("pairs.json", '{"edges": [[0, 1], [0, 2], [1, 2], [2, 10]]}'),
        (
            "texts.json",
            '{"nodes": ["10"], "edges": [["0", "1"], ["0", "2"], ["1", "2"], ["2", "10"]]}',
        ),
        ("twice.json", '{"edges": [[0, 1], [0, 2], [1, 2], [2, 10], [10, 2]]}'),
    ],
)
def test_edges_are_read(tmp_path: Path, name: str, content: str) -> None:
    net = topologies.from_file(write(tmp_path, name, content))
    assert net.name == "file"
    assert list(net.graph.edges) == NUMBERED
    # As numbers, 10 comes last; as texts it would be the third.
    assert [label for _, label in net.graph.nodes(data="label")] == [0, 1, 2, 10]


def test_what_networkx_writes_is_read(tmp_path: Path, graph: nx.Graph) -> None:
    for name in ("sites.graphml", "sites.xml"):
        nx.write_graphml(graph, tmp_path / name)
    nx.write_gml(graph, tmp_path / "sites.gml")
    for edges in ("edges", "links"):
        content = json.dumps(nx.node_link_data(graph, edges=edges))
        write(tmp_path, f"{edges}.json", content)
    for name in ("sites.graphml", "sites.xml", "sites.gml", "edges.json", "links.json"):
        net = topologies.from_file(tmp_path / name)
        assert list(net.graph.edges) == NUMBERED
        assert net.graph.edges[0, 1]["latency_s"] == 0.25


def test_gml_calls_nodes_by_label_if_all_have_one(tmp_path: Path) -> None:
    for name, label, found in (("all", 'label "Oslo"', ["Oslo", "Rome"]), ("one", "", [5, 7])):
        nodes = f'node [ id 7 label "Rome" ] node [ id 5 {label} ]'
        path = write(tmp_path, f"{name}.gml", f"graph [ {nodes} edge [ source 7 target 5 ] ]")
        assert labels_of(path) == found


def labels_of(path: Path) -> list[object]:
    return [label for _, label in topologies.from_file(path).graph.nodes(data="label")]


def test_labels_that_are_no_numbers_stay_texts(tmp_path: Path) -> None:
    net = topologies.from_file(write(tmp_path, "named.txt", "b 1\n1 a\n"))
    assert [label for _, label in net.graph.nodes(data="label")] == ["1", "a", "b"]
    same = topologies.from_file(write(tmp_path, "zeros.txt", "1 01\n"))
    assert [label for _, label in same.graph.nodes(data="label")] == ["01", "1"]


def test_a_lone_node_can_be_named(tmp_path: Path) -> None:
    net = topologies.from_file(write(tmp_path, "one.json", '{"nodes": 1, "edges": []}'))
    assert len(net) == 1


def test_a_file_can_be_named_like_a_shape(tmp_path: Path) -> None:
    path = write(tmp_path, "graph.txt", "0 1\n1 2\n")
    net = topologies.create("file", nodes=3, path=str(path))
    assert list(net.graph.edges) == [(0, 1), (1, 2)]
    with pytest.raises(topologies.TopologyError, match=r"nodes=4: .*has 3; use nodes=3"):
        topologies.create("file", nodes=4, path=str(path))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", "0 1\n1 2 3\n", "line 2 has '3' behind two labels; write the labels alone"),
        ("a.txt", "0 1 {'weight': 2}\n", "edge lists have no weights and attributes"),
        ("a.txt", '{"edges": [[0, 1]]}', r"a file that ends in \.json is JSON"),
        ("a.txt", "0\n", "line 1 has the one label '0'; write two, such as 0 1; a file that ends"),
        ("a.txt", "", "is empty; write a graph as an edge list"),
        ("a.json", " ", "is empty; write a graph as JSON"),
        ("a.gml", "", "is empty; write a graph as GML"),
        ("a.txt", "# none\n", "graph without nodes"),
        ("a.txt", "0 1\n2 3\n", "in 2 parts"),
        ("a.txt", "0 0\n0 1\n", "self-loops at 0"),
        ("a.json", "[]", "is no graph; write"),
        ("a.json", "{", "Expecting"),
        ("a.json", '{"edges": 3}', "is no graph; write"),
        ("a.json", '{"edges": [[0, 1, 2]]}', r"edge \[0, 1, 2\]: write two labels"),
        ("a.json", '{"edges": [[0, 1.5]]}', "label 1.5: use a whole number or a text"),
        ("a.json", '{"edges": [[0, null]]}', "label None"),
        ("a.json", '{"edges": [{"source": 0}]}', "label None"),
        ("a.json", '{"edges": [[0, 1]], "directed": true}', "is directed"),
        ("a.json", '{"edges": [[0, 1]], "nodes": 4}', "nodes=4: 1 edges connect 2 at most"),
        ("a.json", "[" * 100_000, "cannot be read as JSON"),
        (
            "a.json",
            '{"edges": [{"source": "a", "target": "b", "w": 1}, ["b", "a"]]}',
            r"edge \['b', 'a'\] is there twice, with {'w': 1} and {}; leave one",
        ),
        (
            "a.json",
            '{"nodes": ["a", {"id": "a", "w": 1}], "edges": []}',
            "node 'a' is there twice, with {} and {'w': 1}; leave one",
        ),
        ("a.json", '{"edges": [[0, 1]], "edges": []}', "the key 'edges' twice; leave one"),
        ("a.graphml", "<graphml", "cannot be read as GraphML"),
        ("a.graphml", "<other/>", "cannot be read as GraphML"),
        ("a.graphml", GRAPHML.format('<edge source="0"/>'), "edge {'source': '0'} has no target"),
        ("a.xml", GRAPHML.format("<node/>"), "node {} has no id; write it"),
        ("a.gml", "graph [ node [ id 0 ] edge [ source 0 ] ]", "edge #0 has no 'target'"),
        ("a.gml", "graph [ directed 1 node [ id 0 ] ]", "is directed; write directed 0"),
        (
            "a.gml",
            'graph [ node [ id 0 label "a" ] node [ id 1 label "a" ] edge [ source 0 target 1 ] ]',
            "two nodes with one label",
        ),
        ("a.gml", "graph [" * 5_000, "cannot be read as GML"),
    ],
)
def test_unusable_files_are_refused(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(topologies.TopologyError, match=complaint) as caught:
        topologies.from_file(path)
    assert str(caught.value).startswith(f"path='{path}': ")


def test_directed_graphs_are_refused(tmp_path: Path) -> None:
    nx.write_graphml(nx.DiGraph([(0, 1)]), tmp_path / "a.graphml")
    with pytest.raises(topologies.TopologyError, match='write edgedefault="undirected"'):
        topologies.from_file(tmp_path / "a.graphml")


def test_parallel_edges_are_refused(tmp_path: Path) -> None:
    nx.write_graphml(nx.MultiGraph([(0, 1), (0, 1)]), tmp_path / "a.graphml")
    nx.write_gml(nx.MultiGraph([(0, 1), (0, 1)]), tmp_path / "a.gml")
    for name in ("a.graphml", "a.gml"):
        with pytest.raises(topologies.TopologyError, match=r"edge \[.*\] is there twice; write"):
            topologies.from_file(tmp_path / name)


def test_missing_and_large_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(topologies.TopologyError, match=r"none\.txt.*No such file"):
        topologies.from_file(tmp_path / "none.txt")
    with pytest.raises(topologies.TopologyError, match="path=5: use the name of a file"):
        topologies.create("file", nodes=2, path=5)
    monkeypatch.setattr(files, "BYTES_MAX", 2)
    with pytest.raises(topologies.TopologyError, match="has more than 2 bytes"):
        topologies.from_file(write(tmp_path, "a.txt", "0 1"))


@pytest.mark.slow
@settings(max_examples=50)
@given(
    suffix=st.sampled_from([".json", ".graphml", ".gml", ".txt"]),
    content=st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "a", "0"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["edges", "links", "nodes", "id", "source", "target"]), inner
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_any_bytes_are_a_graph_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    try:
        net = topologies.from_file(path)
    except topologies.TopologyError:
        return
    assert nx.is_connected(net.graph)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_gossip_on_a_graph_from_a_file_contracts_by_lambda_to_the_steps(
    tmp_path: Path, steps: int
) -> None:
    edges = [list(edge) for edge in nx.petersen_graph().edges]
    path = write(tmp_path, "petersen.json", json.dumps({"edges": edges}))
    net = topologies.create("file", nodes=10, path=str(path))
    values = np.random.default_rng(0).normal(size=(10, 4))
    mean = values.mean(axis=0)
    mixed = net.mixing_matrix(steps=steps) @ values
    before, after = np.linalg.norm(values - mean), np.linalg.norm(mixed - mean)
    assert after <= net.contraction() ** steps * before + 1e-12
