"""Who sends rows to whom, and with which weight they are meant to count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.learn.mixing import MIXINGS, Claim
from topologies import Topology


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighborhood:
    """One peer and those that it hears.

    Attributes:
        peer: Its number.
        honest: Its honest neighbors, ascending.
        liars: Its lying neighbors, ascending.
        weights: Mixing weight of each neighbor, by number; the rest to 1 is the own row's.
    """

    peer: int
    honest: tuple[int, ...]
    liars: tuple[int, ...]
    weights: dict[int, float]

    def honest_rows(self) -> list[int]:
        """List the peer and its honest neighbors."""
        return [self.peer, *self.honest]

    def honest_weights(self) -> Tensor:
        """Return the mixing weights of `honest_rows`, float64."""
        own = 1.0 - sum(self.weights.values())
        return torch.tensor(
            [own, *(self.weights[number] for number in self.honest)], dtype=torch.float64
        )

    def liar_neighbor_ratio(self) -> float:
        """Return the share of liars among the neighbors; 0 without neighbors."""
        return len(self.liars) / len(self.weights) if self.weights else 0.0

    def byzantine_weight(self) -> float:
        """Return the mixing weight of the liars together."""
        return sum(self.weights[number] for number in self.liars)


def neighborhoods(
    topology: Topology,
    liars: Sequence[int],
    *,
    example_counts: Sequence[int],
    mixing: str,
    is_silent: bool,
) -> tuple[Neighborhood, ...]:
    """Return every peer's neighborhood.

    Args:
        topology: Who knows whom.
        liars: Who lies.
        example_counts: Training rows of each peer.
        mixing: A name of `p2pfed.learn.mixing.MIXINGS`.
        is_silent: Whether the liars send nothing, and so are in nobody's neighborhood. Degrees
            count them all the same: they are connected.
    """
    claims = [
        Claim(examples=count, degree=len(topology.neighbors(number)))
        for number, count in enumerate(example_counts)
    ]
    found = []
    for peer in range(len(topology)):
        heard = [
            number
            for number in topology.neighbors(peer)
            if not (is_silent and number in liars and peer not in liars)
        ]
        weights = MIXINGS[mixing](claims[peer], [claims[number] for number in heard])
        found.append(
            Neighborhood(
                peer=peer,
                honest=tuple(number for number in heard if number not in liars),
                liars=tuple(number for number in heard if number in liars),
                weights=dict(zip(heard, weights, strict=True)),
            )
        )
    return tuple(found)


def mixing_rows(places: Sequence[Neighborhood], size: int) -> Tensor:
    """Return the rows of the mixing matrix that belong to some peers, shape (k, size), float32."""
    matrix = torch.zeros(len(places), size)
    for row, place in enumerate(places):
        matrix[row, place.peer] = 1.0 - sum(place.weights.values())
        for number, weight in place.weights.items():
            matrix[row, number] = weight
    return matrix
