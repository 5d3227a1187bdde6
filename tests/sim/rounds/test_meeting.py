"""Graphs that change from exchange to exchange, weights of whole graphs, and push-sum."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import topologies
from p2pfed.errors import ConfigError
from p2pfed.updates.registry import create_codec
from sim.rounds import RoundsConfig, run
from sim.rounds.meeting import Meetings
from sim.rounds.neighborhood import mixing_rows, pushed_neighborhoods
from sim.rounds.pipeline import make_pipeline
from sim.rounds.running import Session

MakeConfig = Callable[..., RoundsConfig]

DYNAMIC = [
    ("epidemic", {"degree": 3}),
    ("one-peer-exponential", {}),
    ("peer-sampling", {"degree": 2}),
    ("random-matchings", {}),
]
WHOLE_GRAPH = ["lazy", "max-degree", "optimized"]


def meetings(config: RoundsConfig) -> Meetings:
    return Meetings(
        config, (), silent=(), example_counts=[10] * config.peers, has_crowds=False, size=1
    )


def weights_of(config: RoundsConfig, exchanges: int) -> list[Tensor]:
    made = meetings(config)
    return [mixing_rows(made.next().places, config.peers) for _ in range(exchanges)]


def spread_after(config: RoundsConfig) -> float:
    return run(config).consensus_distance


@pytest.mark.parametrize("peers", [4, 8, 16])
def test_one_peer_at_a_time_agrees_after_log2_exchanges(
    make_config: MakeConfig, peers: int
) -> None:
    config = make_config(
        topology="one-peer-exponential",
        peers=peers,
        rule="mean",
        rounds=1,
        integrator={"norm_cap_ratio": None},
    )
    steps = peers.bit_length() - 1
    assert spread_after(replace(config, gossip_steps=steps)) < 1e-12
    assert spread_after(replace(config, gossip_steps=steps - 1)) > 1e-4


def test_random_matchings_contract_and_keep_the_mean(make_config: MakeConfig) -> None:
    config = make_config(
        topology="random-matchings", rule="mean", integrator={"norm_cap_ratio": None}
    )
    vectors = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = vectors.mean(dim=0)
    spreads = [float((vectors - mean).norm())]
    for matrix in weights_of(config, 12):
        vectors = matrix.double() @ vectors
        assert torch.allclose(vectors.mean(dim=0), mean, atol=1e-6)
        spreads.append(float((vectors - mean).norm()))
    assert all(after <= before for before, after in pairwise(spreads))
    assert spreads[-1] < 0.1 * spreads[0]
    few, many = (spread_after(replace(config, gossip_steps=it, rounds=2)) for it in (1, 8))
    assert many < 0.1 * few


@pytest.mark.parametrize(("topology", "params"), DYNAMIC, ids=[name for name, _ in DYNAMIC])
def test_weights_are_those_of_the_rounds(
    make_config: MakeConfig, topology: str, params: dict[str, Any]
) -> None:
    config = make_config(topology=topology, topology_params=params, topology_seed=7)
    changing = topologies.create_dynamic(topology, nodes=10, seed=7, **params)
    for number, found in enumerate(weights_of(config, 5)):
        expected = torch.from_numpy(changing.at(number).mixing_matrix())
        assert torch.allclose(found.double(), expected, atol=1e-6)


@pytest.mark.parametrize("mixing", WHOLE_GRAPH)
def test_weights_are_those_of_the_graphs_matrix(make_config: MakeConfig, mixing: str) -> None:
    config = make_config(topology="star", mixing=mixing)
    expected = torch.from_numpy(topologies.create("star", nodes=10).mixing_matrix(mixing))
    (found,) = weights_of(config, 1)
    assert torch.allclose(found.double(), expected, atol=1e-6)


@pytest.mark.parametrize("topology", ["epidemic", "star"])
def test_push_sum_comes_to_the_plain_mean(make_config: MakeConfig, topology: str) -> None:
    config = make_config(topology=topology, mixing="push-sum", rule="mean")
    values = np.random.default_rng(0).normal(size=(10, 3))
    vectors = torch.from_numpy(values)
    for matrix in weights_of(config, 40):
        vectors = matrix.double() @ vectors
    assert torch.allclose(vectors, torch.from_numpy(values).mean(dim=0), atol=1e-5)
    plain = torch.from_numpy(values)
    for matrix in weights_of(replace(config, mixing="uniform"), 40):
        plain = matrix.double() @ plain
    assert not torch.allclose(plain, torch.from_numpy(values).mean(dim=0), atol=1e-2)


def test_pushed_rows_are_those_of_push_sum() -> None:
    changing = topologies.create_dynamic("epidemic", nodes=7, degree=2, seed=3)
    values = np.random.default_rng(1).normal(size=(7, 2))
    masses, found = [1.0] * 7, torch.from_numpy(values)
    for number in range(4):
        places, masses = pushed_neighborhoods(changing.at(number).out_neighbors, masses, ())
        found = mixing_rows(places, 7).double() @ found
    expected = topologies.push_sum(values, [changing.at(number).shares() for number in range(4)])
    assert torch.allclose(found, torch.from_numpy(expected), atol=1e-6)
    assert sum(masses) == pytest.approx(7.0)


def test_silent_liars_leave_their_push_to_the_own_row() -> None:
    places, masses = pushed_neighborhoods([(1,), (0,)], [1.0, 1.0], {1}, silent={1})
    assert (places[0].weights, places[1].weights) == ({}, {0: 0.5})
    assert masses == [1.0, 1.0]


def test_steps_count_by_the_mass_that_a_peer_has(make_config: MakeConfig) -> None:
    config = make_config(
        topology="star",
        mixing="push-sum",
        rule="mean",
        peers=6,
        rounds=2,
        integrator={"norm_cap_ratio": None},
    )
    session = Session(config, make_pipeline)
    session.play(0)
    masses = session.meetings.masses
    assert masses is not None
    assert masses[0] > 1.0 > masses[1]  # all send to the center
    by_hand = Session(config, make_pipeline)
    by_hand.play(0)
    start = by_hand.population.vectors()
    by_hand.population.train(1)
    steps = by_hand.population.vectors() - start
    drifts = start + steps / masses - by_hand.initial
    expected = by_hand.initial + mixing_rows(by_hand.meetings.next().places, 6) @ drifts
    session.play(1)
    assert torch.allclose(session.population.vectors(), expected, atol=1e-6)
    assert torch.linalg.vector_norm(steps * (1.0 - 1.0 / masses)) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("topology", "params"), DYNAMIC, ids=[name for name, _ in DYNAMIC])
def test_peers_learn_though_their_neighbors_change(
    make_config: MakeConfig, topology: str, params: dict[str, Any]
) -> None:
    config = make_config(
        topology=topology,
        topology_params=params,
        rule="mean",
        rounds=8,
        liars=1,
        attack="sign-flip",
        attack_params={"scale": 0.1},
    )
    result = run(config)
    assert result.mean_accuracy > 0.5
    assert run(config).digest == result.digest
    assert sum(result.liar_reasons.values()) > 0


@pytest.mark.slow
def test_a_trace_is_played_and_repeated(make_config: MakeConfig, tmp_path: Path) -> None:
    rounds = [[[0, 1], [2, 3]], [[1, 2], [0, 3]]]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"rounds": rounds}))
    config = make_config(
        topology="trace",
        topology_params={"path": str(path)},
        peers=4,
        rule="mean",
        rounds=1,
        gossip_steps=2,
        integrator={"norm_cap_ratio": None},
    )
    assert spread_after(config) < 1e-12
    result = run(replace(config, rounds=3))
    assert result.bytes_per_peer == 6 * 4 * 105


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"topology": "epidemic", "mixing": "lazy"}, "rounds.mixing"),
        ({"topology": "epidemic", "mixing": "optimized"}, "rounds.mixing"),
        ({"rule": "trimmed-mean", "mixing": "push-sum"}, "rounds.mixing"),
        ({"topology": "epidemic", "placement": "around-victim", "liars": 1}, "rounds.placement"),
        ({"mixing": "fair"}, "rounds.mixing"),
        ({"topology": "epidemic", "codec": create_codec("int4")}, "rounds.codec"),
    ],
)
def test_what_does_not_go_together_is_refused(
    make_config: MakeConfig, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(**fields)
    assert caught.value.field == named


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"topology": "epidemic", "topology_params": {"degree": 10}}, "rounds.topology"),
        ({"topology": "complete", "peers": 60, "mixing": "optimized"}, "rounds.mixing"),
    ],
)
def test_what_topologies_refuse_is_named(
    make_config: MakeConfig, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        meetings(make_config(**fields))
    assert caught.value.field == named
