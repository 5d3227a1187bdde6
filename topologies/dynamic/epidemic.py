"""Rounds in which every node chooses anew to whom it sends."""

from collections.abc import Sequence
from random import Random
from typing import final

from topologies.draws import generator_of
from topologies.dynamic.topology import DynamicTopology
from topologies.errors import TopologyError
from topologies.parameters import check_count

_Views = list[dict[int, int]]  # for each node whom it knows, and since how many rounds


def epidemic(*, nodes: int, degree: int = 2, seed: int) -> DynamicTopology:
    """Let each node send to some others, drawn anew in each round.

    How many a node hears varies: rows of the mixing matrix sum to 1, columns only on average.

    Args:
        nodes: More than `degree`.
        degree: To how many others each node sends, at least 1.
        seed: Equal seeds give equal rounds.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: de Vos et al. 2023, "Epidemic learning: boosting decentralized learning with randomized
        communication", algorithm 1 (EL-Local).
    Differs: nothing.
    Cost: O(n degree) per round.
    """
    nodes, degree = _check_degree(nodes, degree)

    def draw(number: int) -> Sequence[Sequence[int]]:
        generator = generator_of("epidemic", seed, number)
        return [_others(generator, node, nodes, degree) for node in range(nodes)]

    return DynamicTopology("epidemic", nodes, None, draw)


def peer_sampling(
    *, nodes: int, degree: int = 2, view: int | None = None, seed: int
) -> DynamicTopology:
    """Let each node send to some of those that it happens to know; whom it knows changes slowly.

    Each node keeps a view: a few others, with the age of that knowledge. In each round it swaps
    half of its view with the one that it has known for longest, itself included. No node needs to
    know all others, as `epidemic` has it.

    Args:
        nodes: More than `degree`.
        degree: To how many of its view each node sends, at least 1.
        view: How many others a node knows, from `degree` to nodes - 1; by default twice `degree`.
        seed: Equal seeds give equal rounds.

    Raises:
        TopologyError: If a parameter is out of range.

    Source: Voulgaris, Gavidia and van Steen 2005, "CYCLON: inexpensive membership management for
        unstructured P2P overlays" (enhanced shuffling); Jelasity et al. 2007,
        "Gossip-based peer sampling", is the general frame.
    Differs: nodes swap one after the other in a random order, and none fails. Views begin at
        random, with the next node on a circle in each, so that together they are connected.
    Cost: O(n view) for each round since the one asked for last; for an earlier one, since the
        first.
    """
    nodes, degree = _check_degree(nodes, degree)
    size = min(2 * degree, nodes - 1) if view is None else check_count("view", view, least=degree)
    if size >= nodes:
        raise TopologyError(f"view={size}: use at most {nodes - 1} with nodes={nodes}")
    views = _Cyclon(nodes, size, seed)

    def draw(number: int) -> Sequence[Sequence[int]]:
        known = views.at(number)
        generator = generator_of("peer-sampling/sends", seed, number)
        return [generator.sample(sorted(row), min(degree, len(row))) for row in known]

    return DynamicTopology("peer-sampling", nodes, None, draw)


@final
class _Cyclon:
    """Everyone's views, round by round.

    Args:
        nodes: How many.
        size: Of a view.
        seed: Of all draws.
    """

    def __init__(self, nodes: int, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        generator = generator_of("peer-sampling/views", seed, 0)
        first: _Views = []
        for node in range(nodes):
            others = _others(generator, node, nodes, size)
            after = (node + 1) % nodes
            first.append(dict.fromkeys(others if after in others else [after, *others[1:]], 0))
        self._first = self._last = (0, first)

    def at(self, number: int) -> _Views:
        """Return the views before the swaps of a round."""
        known, views = self._last if self._last[0] <= number else self._first
        while known < number:
            known += 1
            views = self._swapped(views, generator_of("peer-sampling/views", self._seed, known))
        self._last = (known, views)
        return views

    def _swapped(self, before: _Views, generator: Random) -> _Views:
        views = [{peer: age + 1 for peer, age in view.items()} for view in before]
        order = list(range(len(views)))
        generator.shuffle(order)
        for node in order:
            self._swap(views, node, generator)
        return views

    def _swap(self, views: _Views, node: int, generator: Random) -> None:
        oldest = max(sorted(views[node]), key=views[node].__getitem__)
        length = max(1, self._size // 2)
        rest = sorted(set(views[node]) - {oldest})
        sent = generator.sample(rest, min(length - 1, len(rest)))
        back = sorted(set(views[oldest]) - {node})
        answered = generator.sample(back, min(length, len(back)))
        given = {node: 0} | {peer: views[node][peer] for peer in sent}
        taken = {peer: views[oldest][peer] for peer in answered}
        self._merge(views, oldest, given, answered)
        self._merge(views, node, taken, [oldest, *sent])
        if oldest in views[node]:
            views[node][oldest] = 0  # they have just met

    def _merge(self, views: _Views, node: int, new: dict[int, int], sent: list[int]) -> None:
        """Take in what a node did not know; where space ends, in the place of what it sent away."""
        view, replaced = views[node], iter(sent)
        for peer, age in new.items():
            if peer == node or peer in view:
                continue
            if len(view) >= self._size:
                gone = next(replaced, None)
                if gone is None:
                    return
                del view[gone]
            view[peer] = age


def _others(generator: Random, node: int, nodes: int, count: int) -> list[int]:
    """Draw some nodes other than this one."""
    return [other + (other >= node) for other in generator.sample(range(nodes - 1), count)]


def _check_degree(nodes: int, degree: int) -> tuple[int, int]:
    nodes = check_count("nodes", nodes, least=2)
    degree = check_count("degree", degree, least=1)
    if degree >= nodes:
        raise TopologyError(f"degree={degree}: use at most {nodes - 1} with nodes={nodes}")
    return nodes, degree
