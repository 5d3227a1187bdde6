"""P17: two cliques with one bridge, where dissensus keeps plain gossip apart.

One liar is known to every honest peer. It counts less with the ends of the bridge than they count
with each other, for its many neighbors lower its weights; a lie about one of them can be as long as
it likes. Plain gossip is the negative control.
"""

from itertools import pairwise

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import robust
import topologies
from robust.rule import Rule
from sim.rounds.coalition import Coalition
from sim.rounds.neighborhood import Neighborhood, neighborhoods
from sim.rounds.threat import find_threat

pytestmark = pytest.mark.slow

CLIQUE = 5
LIAR = 2 * CLIQUE
ROUNDS = 20
GOSSIP = robust.create("mean")
CLIPPING = robust.create("self-centered-clipping", byzantine_count=1)
SEEDS = st.integers(0, 2**32)
EPSILONS = st.floats(1.0, 8.0)
# Each draw is twenty rounds of eleven peers. A profile with more examples scales with it.
FEW = settings(max_examples=max(1, settings().max_examples // 25))


def dumbbell() -> tuple[Neighborhood, ...]:
    graph = nx.disjoint_union(nx.complete_graph(CLIQUE), nx.complete_graph(CLIQUE))
    graph.add_edge(0, CLIQUE)
    graph.add_edges_from((peer, LIAR) for peer in range(LIAR))
    net = topologies.from_graph(graph, name="dumbbell")
    return neighborhoods(net, (LIAR,), example_counts=[1] * len(net), mixing="metropolis")


def distances(rule: Rule, *, epsilon: float, seed: int) -> list[float]:
    """Let the honest peers mix, and return their mean squared distance from consensus per round."""
    places = dumbbell()
    threat = find_threat("dissensus", {"epsilon": epsilon}, None, {})
    coalition = Coalition({LIAR: threat}, seed=0)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(places), 3, generator=generator, dtype=torch.float64)
    found = [distance(rows)]
    for number in range(ROUNDS):
        mixed = rows.clone()
        for place in places[:LIAR]:
            lies = coalition.rows(place, rows, rows, round=number, rule=lambda it: it[0])
            read = torch.cat((rows[place.honest_rows()], lies[LIAR][None]))
            weights = [*place.honest_weights().tolist(), place.byzantine_weight()]
            mixed[place.peer] = rule(read, own=rows[place.peer], weights=weights)
        rows = mixed
        found.append(distance(rows))
    return found


def distance(rows: Tensor) -> float:
    honest = rows[:LIAR]
    return float((honest - honest.mean(dim=0)).square().sum(dim=1).mean())


@FEW
@given(seed=SEEDS, epsilon=EPSILONS)
def test_p17_self_centered_clipping_goes_on_towards_consensus(seed: int, epsilon: float) -> None:
    found = distances(CLIPPING, epsilon=epsilon, seed=seed)
    assert all(after < before for before, after in pairwise(found))
    assert found[-1] < 0.5 * found[0]


@FEW
@given(seed=SEEDS)
def test_p17_plain_gossip_stops(seed: int) -> None:
    found = distances(GOSSIP, epsilon=1.0, seed=seed)
    assert found == pytest.approx([found[0]] * len(found))


@FEW
@given(seed=SEEDS, epsilon=EPSILONS.filter(lambda it: it >= 1.5))
def test_p17_plain_gossip_is_driven_apart(seed: int, epsilon: float) -> None:
    found = distances(GOSSIP, epsilon=epsilon, seed=seed)
    assert all(after > before for before, after in pairwise(found))
    assert found[-1] > 100.0 * found[0]


@FEW
@given(seed=SEEDS)
def test_p17_plain_gossip_reaches_consensus_where_nobody_lies(seed: int) -> None:
    found = distances(GOSSIP, epsilon=0.0, seed=seed)  # the liar repeats the target's own row
    assert found[-1] < 0.1 * found[0]


@FEW
@given(seed=SEEDS)
def test_a_bridge_that_alone_stands_out_is_clipped_like_a_liar(seed: int) -> None:
    # What safety costs: with f = 1, the one row that differs sets no radius, be it honest or not.
    found = distances(CLIPPING, epsilon=0.0, seed=seed)
    assert found[-1] > 0.9 * found[10]
