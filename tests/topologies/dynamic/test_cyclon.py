"""Swaps of views worked by hand, against Voulgaris, Gavidia and van Steen 2005."""

from random import Random

import topologies
from topologies.dynamic.cyclon import Cyclon


def swapped(*views: dict[int, int]) -> list[dict[int, int]]:
    """Return the views after node 0 has swapped."""
    after = [dict(view) for view in views]
    Cyclon(len(views), 3, seed=0).swap(after, 0, Random(0))
    return after


def test_a_node_swaps_with_the_one_that_it_has_known_for_longest() -> None:
    before = [{1: 4, 2: 9, 3: 5}, {2: 1}, {4: 6}, {4: 2}, {1: 3}]
    after = swapped(*before)
    # Node 2 knows node 0 since just now, and gave what it knew with its age, for its own place.
    assert after == [{1: 4, 4: 6, 3: 5}, {2: 1}, {4: 6, 0: 0}, {4: 2}, {1: 3}]


def test_who_has_nothing_to_give_is_known_as_met_just_now() -> None:
    # Else the same node would be the oldest again in the next round, and for ever.
    after = swapped({1: 2, 2: 7, 3: 5}, {2: 1}, {0: 8}, {1: 1})
    assert after[0] == {1: 2, 2: 0, 3: 5}


def test_nobody_is_known_for_long() -> None:
    # Each node drops its oldest in each round, of four: whom it knows it has met anew since.
    net = topologies.create_dynamic("peer-sampling", nodes=60, degree=4, view=4, seed=0)
    ages = [dict.fromkeys(net.at(0).out_neighbors[node], 0) for node in range(60)]
    oldest = 0
    for number in range(1, 40):
        for node, others in enumerate(net.at(number).out_neighbors):
            ages[node] = {other: ages[node].get(other, -1) + 1 for other in others}
            oldest = max(oldest, *ages[node].values())
    assert oldest <= 8
