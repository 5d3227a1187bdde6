"""What a graph file says of its links: taken as `[network]` is, or refused by edge and name."""

import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from p2pfed.errors import ConfigError
from sim.building import _build
from sim.scenario import load_scenario
from tests.sim.short import SHORT

IN_ROUNDS = {"fidelity": "rounds", "schedule": {"mode": "synchronous", "rounds_max": 2}}


def on_file(path: Path, **tables: Any) -> dict[str, Any]:
    return {**SHORT, "topology": {"name": "file", "path": str(path), "nodes": 3}, **tables}


def on_edges(folder: Path, said: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """Return a scenario on three sites, the second of whose edges says something of itself."""
    path = folder / "sites.json"
    edges: list[Any] = [["Rome", "Oslo"], {"source": "Oslo", "target": "Lima", **said}]
    path.write_text(json.dumps({"edges": edges}), encoding="utf-8")
    return on_file(path, **tables)


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ({"latency_s": "fast"}, "latency_s = 'fast': write a number"),
        ({"latency_s": "0.1"}, "latency_s = '0.1': write a number, without quotes"),
        ({"latency_s": None}, "latency_s = None: write a number"),
        ({"latency_s": True}, "latency_s = True: write a number"),
        ({"latency_s": float("inf")}, "latency_s = inf: write a finite number"),
        ({"latency_s": -1}, "latency_s = -1: write a number of at least 0"),
        (
            {"bandwidth_bytes_per_s": 0},
            "bandwidth_bytes_per_s = 0: write a number of at least 0.001",
        ),
        (
            {"bandwidth_bytes_per_s": -5.0},
            "bandwidth_bytes_per_s = -5.0: write a number of at least 0.001",
        ),
        ({"loss_ratio": 2.0}, "loss_ratio = 2.0: write a number below 1"),
        ({"weight": 1.0, "loss_ratio": 1}, "loss_ratio = 1: write a number below 1"),
    ],
    ids=str,
)
def test_links_have_the_bounds_of_the_network_table(
    tmp_path: Path, said: dict[str, Any], fix: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(on_edges(tmp_path, said))
    assert caught.value.field == "topology.path"
    assert caught.value.value == str(tmp_path / "sites.json")
    assert caught.value.fix == f"edge 'Lima' to 'Oslo': {fix}"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("latency_ms", "latency_s"),
        ("latency", "latency_s"),
        ("Latency_s", "latency_s"),
        ("lantency_s", "latency_s"),
        ("latencyMs", "latency_s"),
        ("latency_distribution", "latency_s"),
        ("bandwidth", "bandwidth_bytes_per_s"),
        ("bandwidth_mbps", "bandwidth_bytes_per_s"),
        ("bandwith_bytes_per_s", "bandwidth_bytes_per_s"),
        ("loss", "loss_ratio"),
        ("loss_percent", "loss_ratio"),
        ("delay_ms", None),
        ("rtt_s", None),
        ("queue_bytes_max", None),
    ],
)
def test_names_that_were_meant_for_links_are_told_what_there_is(
    tmp_path: Path, name: str, near: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(on_edges(tmp_path, {name: 0.5}))
    hint = "" if near is None else f"; did you mean {near!r}?"
    there_is = "links have latency_s, bandwidth_bytes_per_s, loss_ratio"
    assert caught.value.fix == f"edge 'Lima' to 'Oslo': {name} = 0.5: remove it; {there_is}{hint}"


def test_what_other_programs_write_of_edges_is_let_be(tmp_path: Path) -> None:
    others = ["weight", "label", "color", "id", "key", "type", "name", "width", "style", "length"]
    others += ["distance_km", "capacity", "cost", "lanes", "LinkSpeed", "LinkLabel", "class"]
    load_scenario(on_edges(tmp_path, dict.fromkeys(others, "x")))


def test_an_edge_says_what_its_link_is_like_and_the_table_says_the_rest(tmp_path: Path) -> None:
    said = {"latency_s": 1, "bandwidth_bytes_per_s": None}
    network = {"latency_s": 0.5, "bandwidth_bytes_per_s": 1e6, "loss_ratio": 0.1}
    scenario = load_scenario(on_edges(tmp_path, said, network=network))
    wires = _build(scenario, 0, {}, [], keeps_models=False).network.wires
    own, other = wires[0, 1].model, wires[1, 2].model
    assert (own.latency_s, own.bandwidth_bytes_per_s, own.loss_ratio) == (1, None, 0.1)
    assert (other.latency_s, other.bandwidth_bytes_per_s, other.loss_ratio) == (0.5, 1e6, 0.1)


def test_numbers_of_graphml_are_typed(tmp_path: Path) -> None:
    graph = nx.path_graph(3)
    graph.edges[0, 1]["latency_s"] = 0.25
    nx.write_graphml(graph, tmp_path / "typed.graphml")
    load_scenario(on_file(tmp_path / "typed.graphml"))
    graph.edges[0, 1]["latency_s"] = "0.25"
    nx.write_graphml(graph, tmp_path / "text.graphml")
    with pytest.raises(ConfigError, match=r"edge 0 to 1: latency_s = '0\.25'"):
        load_scenario(on_file(tmp_path / "text.graphml"))


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"loss_ratio": 0.1, "latency_s": 0.5}, "latency_s, loss_ratio"),
        ({"bandwidth_bytes_per_s": 1e6}, "bandwidth_bytes_per_s"),
        ({"weight": 2.0, "latency_s": 0.02}, None),
    ],
    ids=str,
)
def test_rounds_refuse_what_links_are_like(
    tmp_path: Path, said: dict[str, Any], refused: str | None
) -> None:
    scenario = on_edges(tmp_path, said, **IN_ROUNDS)
    if refused is None:
        load_scenario(scenario)
        return
    with pytest.raises(ConfigError) as caught:
        load_scenario(scenario)
    fix = f'leave {refused} out of its edges; rounds take no time, or fidelity = "messages"'
    assert (caught.value.field, caught.value.fix) == ("topology.path", fix)
