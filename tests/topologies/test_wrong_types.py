"""Everything public, given arguments of wrong types: an error of topologies', or a result."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import topologies
from topologies import TopologyError
from topologies.spectrum import effective_neighbors, rounds_to, slowest_factor

HUGE = 10**5000  # which Python refuses to write
WRONG: dict[str, Any] = {
    "text": "x",
    "bytes": b"\0x",
    "minus one": -1,
    "NaN": math.nan,
    "infinity": math.inf,
    "huge": HUGE,
    "fraction": 2.5,
    "list of None": [None],
    "list of text": ["ring"],
    "mapping": {"nodes": 4},
    "set": {1},
    "vector": np.ones(3),
    "matrix of text": np.array([["a", "b"], ["c", "d"]]),
}

NET = topologies.create("ring", nodes=6)
CHANGING = topologies.create_dynamic("epidemic", nodes=6)
MATRIX = NET.mixing_matrix()

# What is called, as topologies' public names spell it -> how, and arguments with which it works.
# Each of these is replaced by each wrong value in turn.
CALLS: dict[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "DynamicTopology.at": (CHANGING.at, {"round": 3}),
    "DynamicTopology.contraction": (CHANGING.contraction, {"rounds": 2, "first": 0}),
    "DynamicTopology.product": (CHANGING.product, {"rounds": 2, "first": 0}),
    "Round.mixing_matrix": (CHANGING.at(0).mixing_matrix, {"sparse": False}),
    "Round.shares": (CHANGING.at(0).shares, {"sparse": False}),
    "Topology.contraction": (NET.contraction, {"kind": "lazy", "steps": 2, "sparse": False}),
    "Topology.effective_neighbors": (
        NET.effective_neighbors,
        {"kind": "lazy", "decay": 0.5, "sparse": False},
    ),
    "Topology.mixing_matrix": (NET.mixing_matrix, {"kind": "lazy", "steps": 2, "sparse": False}),
    "Topology.neighbors": (NET.neighbors, {"node": 1}),
    "Topology.rounds_to": (
        NET.rounds_to,
        {"ratio": 0.1, "kind": "lazy", "steps": 2, "sparse": False},
    ),
    "Topology.spectral_gap": (NET.spectral_gap, {"kind": "lazy", "sparse": False}),
    "check_mixing_matrix": (
        topologies.check_mixing_matrix,
        {
            "matrix": MATRIX,
            "graph": NET.graph,
            "symmetric": True,
            "doubly_stochastic": True,
            "within": 1e-9,
        },
    ),
    "create": (topologies.create, {"name": "ring", "nodes": 6, "seed": 0}),
    "create_dynamic": (
        topologies.create_dynamic,
        {"name": "peer-sampling", "nodes": 6, "degree": 2, "view": 3, "seed": 0},
    ),
    "from_file": (topologies.from_file, {"path": "edges.json"}),
    "from_graph": (topologies.from_graph, {"graph": nx.path_graph(3), "name": "path"}),
    "from_trace": (topologies.from_trace, {"graphs": [nx.path_graph(3)], "name": "trace"}),
    "push_sum": (topologies.push_sum, {"values": np.ones(6), "shares": [MATRIX]}),
    "recommend": (
        topologies.recommend,
        {"nodes": 8, "degree": 3, "byzantine_share": 0.1, "seed": 0},
    ),
    # By name, and of modules that docs/topologies.md names.
    "create file": (topologies.create, {"name": "file", "nodes": 3, "path": "edges.json"}),
    "create_dynamic trace": (
        topologies.create_dynamic,
        {"name": "trace", "nodes": 3, "path": "trace.json"},
    ),
    "spectrum.effective_neighbors": (effective_neighbors, {"matrix": MATRIX, "decay": 0.5}),
    "spectrum.rounds_to": (rounds_to, {"ratio": 0.1, "factor": 0.5, "steps": 1}),
    "spectrum.slowest_factor": (slowest_factor, {"matrix": MATRIX}),
}

# Names are any text, by which a topology of one's own is called.
TAKEN = {("from_graph", "name", "text"), ("from_trace", "name", "text")}


def cases() -> Iterator[Any]:
    for name, (_, given) in CALLS.items():
        for parameter in given:
            yield pytest.param(name, parameter, id=f"{name} {parameter}")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    edges = [[0, 1], [1, 2]]
    Path("edges.json").write_text(json.dumps({"edges": edges}))
    Path("trace.json").write_text(json.dumps({"rounds": [edges]}))


@pytest.mark.parametrize("name", CALLS)
def test_call_works_with_right_arguments(name: str) -> None:
    call, given = CALLS[name]
    call(**given)


@pytest.mark.parametrize(("name", "parameter"), list(cases()))
def test_wrong_type_is_a_short_error_that_names_the_argument(name: str, parameter: str) -> None:
    call, given = CALLS[name]
    for kind, value in WRONG.items():
        if (name, parameter, kind) in TAKEN:
            continue
        with pytest.raises(TopologyError, match=parameter) as caught:
            call(**{**given, parameter: value})
        assert len(str(caught.value)) < 500  # however large the value
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("create", [topologies.create, topologies.create_dynamic])
def test_name_that_is_no_text_is_unknown(create: Callable[..., Any]) -> None:
    with pytest.raises(TopologyError, match=r"name=\['ring'\]: unknown topology; use one of "):
        create(["ring"], nodes=4)


def test_share_that_is_no_matrix_is_told_by_its_round() -> None:
    with pytest.raises(TopologyError, match=r"shares of round 1: matrix=None: use an array"):
        topologies.push_sum(np.ones(6), [MATRIX, None])  # type: ignore[list-item]  # on purpose
