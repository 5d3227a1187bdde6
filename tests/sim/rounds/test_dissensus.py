"""Dissensus on a dumbbell, by whole rounds of peers that train: gossip is stopped, clipping is not.

`tests/sim/adversaries/test_dissensus_on_a_dumbbell.py` has the same of the rules alone.
"""

from pathlib import Path

import networkx as nx
import pytest

from p2pfed.learn.learner import Plan
from p2pfed.learn.partition import Dirichlet
from p2pfed.learn.steps import Sgd
from sim.rounds import RoundsConfig, run

CLIQUE = 5
LIAR = 2 * CLIQUE


@pytest.fixture
def dumbbell(tmp_path: Path) -> str:
    """Return the path of a graph of two cliques, a bridge, and a liar that all others know."""
    graph = nx.disjoint_union(nx.complete_graph(CLIQUE), nx.complete_graph(CLIQUE))
    graph.add_edge(0, CLIQUE)
    graph.add_edges_from((peer, LIAR) for peer in range(LIAR))
    path = tmp_path / "dumbbell.txt"
    nx.write_edgelist(graph, path, data=False)
    return str(path)


def distance(path: str, rule: str, attack: str) -> float:
    """Return the mean squared distance from consensus after ten rounds on unequal shares."""
    config = RoundsConfig(
        partition=Dirichlet(alpha=0.3),
        topology="file",
        topology_params={"path": path},
        peers=LIAR + 1,
        liar_indices=(LIAR,),
        attack=attack,
        attack_params={"epsilon": 1.5} if attack == "dissensus" else {},
        rule=rule,
        integrator={"norm_cap_ratio": None},
        plan=Plan(step_rule=Sgd(learning_rate=0.1), steps_per_round=2, batch_size=16),
        rounds=10,
    )
    return run(config).consensus_distance


@pytest.mark.slow
def test_dissensus_drives_peers_apart_that_mix_by_plain_gossip(dumbbell: str) -> None:
    honest, attacked = (distance(dumbbell, "mean", attack) for attack in ("none", "dissensus"))
    assert attacked > 1_000.0 * honest


@pytest.mark.slow
def test_dissensus_does_not_part_peers_that_clip_about_themselves(dumbbell: str) -> None:
    rule = "self-centered-clipping"
    honest, attacked = (distance(dumbbell, rule, attack) for attack in ("none", "dissensus"))
    assert attacked < 5.0 * honest
    # Nor are they as far apart as peers that never mix, whom no attack parts.
    assert attacked < 5.0 * distance(dumbbell, "mean", "none")
