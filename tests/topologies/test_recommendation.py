"""What is recommended, and whether the numbers that are given as reasons are true."""

from itertools import combinations
from math import comb
from typing import Any

import networkx as nx
import pytest

import topologies
from topologies.liars import degree_against, exposure_of, liar_count


def test_faster_shapes_win() -> None:
    found = topologies.recommend(16, 4)
    gaps = [candidate.spectral_gap for candidate in found.candidates]
    assert gaps == sorted(gaps, reverse=True)
    assert {it.name for it in found.candidates} == {"hypercube", "k-regular", "ring", "torus"}
    assert found.chosen is found.candidates[0]
    assert found.create().spectral_gap() == found.chosen.spectral_gap


def test_nobody_has_more_neighbors_than_it_can_afford() -> None:
    for nodes in (3, 5, 9, 16):
        for degree in (2, 4, 7):
            found = topologies.recommend(nodes, degree)
            assert all(candidate.degree_max <= degree for candidate in found.candidates)
            assert len(found.create()) == nodes


def test_everyone_with_everyone_if_that_is_affordable() -> None:
    assert topologies.recommend(6, 5).chosen.name == "complete"
    assert topologies.recommend(2, 1).chosen.name == "complete"


def test_numbers_are_those_of_the_topology() -> None:
    chosen = topologies.recommend(9, 2).chosen
    net = topologies.create("ring", nodes=9)
    assert (chosen.name, chosen.degree_mean, chosen.degree_max, chosen.cut_by) == ("ring", 2, 2, 2)
    assert chosen.spectral_gap == net.spectral_gap()
    assert chosen.rounds == net.rounds_to(1e-3)
    assert chosen.payloads == 2 * chosen.rounds
    assert chosen.effective_neighbors == net.effective_neighbors()


def test_reasons_name_the_numbers() -> None:
    found = topologies.recommend(16, 4, 0.2)
    text = " ".join(found.reasons)
    assert found.chosen.title in text
    assert f"spectral gap {found.chosen.spectral_gap:.3g}" in text
    assert f"{found.chosen.rounds} rounds" in text
    assert "where ring takes" in text
    assert "4 liars of 16 peers" in text
    assert f"{found.chosen.exposure.overrun_peers:.2g} honest peers" in text
    assert "They can cut honest peers off from each other, for which 4 do." in text


@pytest.mark.slow
def test_too_many_liars_are_told_of_with_a_degree_that_helps() -> None:
    found = topologies.recommend(40, 4, 0.2)
    assert found.chosen.exposure.overrun_peers > 0.05
    enough = degree_against(40, byzantine_share=0.2, overrun_max=0.05)
    assert enough is not None
    assert f"degree={enough} would be enough" in " ".join(found.reasons)
    better = topologies.recommend(40, enough, 0.2)
    assert better.chosen.exposure.overrun_peers <= 0.05
    assert exposure_of([enough - 2] * 40, byzantine_share=0.2).overrun_peers > 0.05


def test_no_degree_helps_where_nearly_half_lie() -> None:
    assert degree_against(10, byzantine_share=0.49, overrun_max=0.05) is None
    assert "no degree is enough" in " ".join(topologies.recommend(10, 4, 0.49).reasons)


def test_without_liars_nothing_is_said_of_them() -> None:
    found = topologies.recommend(16, 4)
    assert found.chosen.exposure.overrun_peers == 0.0
    assert len(found.reasons) == 1


def test_safety_comes_before_speed() -> None:
    # In a torus of two rows peers have three neighbors: two liars are half of their four rows. Four
    # neighbors bear two liars.
    found = topologies.recommend(10, 4, 0.2)
    gaps = {it.name: it.spectral_gap for it in found.candidates}
    assert gaps["torus"] > gaps["k-regular"]
    assert (found.chosen.name, found.chosen.exposure.overrun_peers) == ("k-regular", 0.0)
    assert "torus is faster, with a gap of 0.345, but liars are" in found.reasons[0]


def test_speed_decides_among_the_safe() -> None:
    # Three liars overrun fewer peers in the torus, but in both shapes hardly anybody.
    found = topologies.recommend(40, 5, 3 / 40)
    exposures = {it.name: it.exposure.overrun_peers for it in found.candidates}
    assert exposures["torus"] < exposures["k-regular"] < 0.05
    assert found.chosen.name == "k-regular"


def test_where_nobody_is_safe_fewer_overrun_peers_come_first() -> None:
    found = topologies.recommend(18, 3, 5 / 18)
    overrun = [it.exposure.overrun_peers for it in found.candidates]
    assert 0.05 < overrun[0] < overrun[1]
    assert overrun == sorted(overrun)


@pytest.mark.parametrize("shape", ["star", "ring", "grid"])
def test_expected_exposure_is_that_of_all_placements(shape: str) -> None:
    net = topologies.create(shape, nodes=8)
    placements = list(combinations(range(8), 3))
    overrun, worst = 0, []
    for liars in placements:
        shares = []
        for node in sorted(set(range(8)) - set(liars)):
            lying = len(set(net.neighbors(node)) & set(liars))
            overrun += 2 * lying >= len(net.neighbors(node)) + 1
            shares.append(lying / len(net.neighbors(node)))
        worst.append(max(shares))
    found = exposure_of([len(net.neighbors(node)) for node in range(8)], byzantine_share=3 / 8)
    assert found.liars == 3
    assert found.overrun_peers == pytest.approx(overrun / comb(8, 3))
    assert found.share_expected == pytest.approx(3 / 7)
    # The promise holds for at least 95 of 100 placements.
    kept = sum(share <= found.share_likely_max + 1e-9 for share in worst)
    assert kept >= 0.95 * len(placements)
    assert found.share_worst == max(worst)


@pytest.mark.parametrize(
    ("nodes", "share", "liars"), [(100, 0.07, 7), (16, 0.2, 4), (10, 0.0, 0), (3, 0.01, 1)]
)
def test_liars_are_rounded_up(nodes: int, share: float, liars: int) -> None:
    assert liar_count(nodes, share) == liars


@pytest.mark.slow
def test_large_networks_are_recommended_too() -> None:
    found = topologies.recommend(1_200, 8, 0.1)
    assert found.chosen.name == "k-regular"
    assert found.chosen.cut_by is None
    assert nx.number_of_nodes(found.create().graph) == 1_200


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((1, 4), "nodes=1"),
        ((16, 0), "degree=0"),
        ((16, 1), "degree=1: leaves 16 nodes in pairs"),
        ((16, 4, 0.5), "byzantine_share=0.5: use a number from 0 to"),
        ((16, 4, -0.1), "byzantine_share=-0.1"),
        ((16, 4, "0.1"), "byzantine_share='0.1'"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(topologies.TopologyError, match=complaint):
        topologies.recommend(*arguments)
