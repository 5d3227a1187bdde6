"""Views of a few others each, which nodes swap so that nobody is known for long."""

from random import Random
from typing import final

from topologies.draws import generator_of

Views = list[dict[int, int]]  # for each node whom it knows, and since how many rounds


@final
class Cyclon:
    """Everyone's views, round by round.

    Args:
        nodes: How many.
        size: Of a view.
        seed: Of all draws.
    """

    def __init__(self, nodes: int, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        generator = generator_of("peer-sampling/views", seed, 0)
        first: Views = []
        for node in range(nodes):
            others = draw_others(generator, node, nodes, size)
            after = (node + 1) % nodes
            first.append(dict.fromkeys(others if after in others else [after, *others[1:]], 0))
        self._first = self._last = (0, first)

    def at(self, number: int) -> Views:
        """Return the views before the swaps of a round."""
        known, views = self._last if self._last[0] <= number else self._first
        while known < number:
            known += 1
            views = self._swapped(views, generator_of("peer-sampling/views", self._seed, known))
        self._last = (known, views)
        return views

    def _swapped(self, before: Views, generator: Random) -> Views:
        views = [{peer: age + 1 for peer, age in view.items()} for view in before]
        order = list(range(len(views)))
        generator.shuffle(order)
        for node in order:
            self.swap(views, node, generator)
        return views

    def swap(self, views: Views, node: int, generator: Random) -> None:
        """Let a node swap half of its view with the one that it has known for longest."""
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

    def _merge(self, views: Views, node: int, new: dict[int, int], sent: list[int]) -> None:
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


def draw_others(generator: Random, node: int, nodes: int, count: int) -> list[int]:
    """Draw some nodes other than this one."""
    return [other + (other >= node) for other in generator.sample(range(nodes - 1), count)]
