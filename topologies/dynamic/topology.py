"""What all topologies that change have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from topologies.dynamic.round import Round
from topologies.parameters import check_count

# From the number of a round to the out-neighbors of each node. Equal numbers give equal neighbors,
# in whatever order they are asked for.
Draw = Callable[[int], Sequence[Sequence[int]]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class DynamicTopology:
    """A topology for each round; made by `create_dynamic` or `from_trace`.

    No round need be connected; many of them together are.

    Attributes:
        name: What it was made as.
        nodes: How many, 0 to n - 1.
        period: After how many rounds it repeats; None if it does not.
        draw: The out-neighbors of a round; `at` checks its argument and sorts them.
    """

    name: str
    nodes: int
    period: int | None
    draw: Draw

    def __len__(self) -> int:
        return self.nodes

    def at(self, round: int) -> Round:
        """Return who sends to whom in a round, the same whenever it is asked for.

        Args:
            round: At least 0.

        Raises:
            TopologyError: If it is no such number.
        """
        number = check_count("round", round, least=0)
        drawn = self.draw(number if self.period is None else number % self.period)
        return Round(number, tuple(tuple(sorted(row)) for row in drawn))

    def product(self, rounds: int, *, first: int = 0) -> NDArray[np.float64]:
        """Multiply the mixing matrices of consecutive rounds: what they make of everyone's rows.

        Args:
            rounds: How many, at least 0.
            first: The first of them.

        Returns:
            Shape (n, n); the last round's matrix is the leftmost factor.
        """
        first = check_count("first", first, least=0)
        found = np.eye(self.nodes)
        for number in range(first, first + check_count("rounds", rounds, least=0)):
            found = self.at(number).mixing_matrix() @ found
        return found

    def contraction(self, rounds: int, *, first: int = 0) -> float:
        """Compute how much of the distance from consensus consecutive rounds leave at most.

        Args:
            rounds: How many, at least 1.
            first: The first of them.

        Returns:
            The largest singular value of (I - 11'/n) times `product`; 0 if all peers agree then.

        Source: Boyd et al. 2006, "Randomized gossip algorithms", with the product of
            the rounds that were in place of its expectation.
        Cost: O(rounds n^3).
        """
        product = self.product(check_count("rounds", rounds, least=1), first=first)
        return float(np.linalg.norm(product - product.mean(axis=0), ord=2))
