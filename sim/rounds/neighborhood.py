"""Who sends rows to whom, and with which weight they are meant to count."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.learn.mixing import MIXINGS, Claim
from topologies import Round, Topology


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
    liars: Collection[int],
    *,
    example_counts: Sequence[int],
    mixing: str,
    silent: Collection[int] = (),
) -> tuple[Neighborhood, ...]:
    """Return every peer's neighborhood in a graph that stays.

    Args:
        topology: Who knows whom.
        liars: Who lies.
        example_counts: Training rows of each peer.
        mixing: A name of `p2pfed.learn.mixing.MIXINGS`, or of a matrix that a topology has.
        silent: Liars that send nothing, and so are in no honest peer's neighborhood. Degrees count
            them all the same: they are connected.

    Raises:
        TopologyError: If the matrix cannot be had for this graph.
    """
    senders = [topology.neighbors(peer) for peer in range(len(topology))]
    heard = [_heard(peer, known, liars, silent) for peer, known in enumerate(senders)]
    if mixing in MIXINGS:
        return _places(_weighed(mixing, heard, senders, example_counts), liars)
    matrix = topology.mixing_matrix(mixing, sparse=True)
    weights = [
        {number: float(matrix[peer, number]) for number in numbers}
        for peer, numbers in enumerate(heard)
    ]
    return _places(weights, liars)


def round_neighborhoods(
    meeting: Round,
    liars: Collection[int],
    *,
    example_counts: Sequence[int],
    mixing: str,
    silent: Collection[int] = (),
) -> tuple[Neighborhood, ...]:
    """Return every peer's neighborhood in one round of a topology that changes.

    Args:
        meeting: Who sends to whom.
        liars: Who lies.
        example_counts: Training rows of each peer.
        mixing: A name of `p2pfed.learn.mixing.MIXINGS`; `metropolis` weighs as
            `Round.mixing_matrix` does, where not all edges are mutual as `uniform`.
        silent: Liars that send nothing to honest peers.
    """
    senders = meeting.in_neighbors()
    if mixing == "metropolis" and senders != meeting.out_neighbors:
        mixing = "uniform"
    heard = [_heard(peer, known, liars, silent) for peer, known in enumerate(senders)]
    return _places(_weighed(mixing, heard, senders, example_counts), liars)


def pushed_neighborhoods(
    receivers: Sequence[Sequence[int]],
    masses: Sequence[float],
    liars: Collection[int],
    *,
    silent: Collection[int] = (),
) -> tuple[tuple[Neighborhood, ...], list[float]]:
    """Return every peer's neighborhood under push-sum, and the masses after the exchange.

    Each peer gives equal parts of its sum and of its mass to whom it sends and to itself. What it
    takes for the mean, a sum over a mass, is a mean of what its senders took for it, in which
    sender j has the weight s_ji m_j / m'_i. So a rule, and its checks, can stand in between.

    Args:
        receivers: To whom each peer sends.
        masses: Of the peers before, above 0.
        liars: Who lies.
        silent: Liars that send nothing to honest peers; what they would weigh is the own row's.

    Source: as `topologies.push_sum`.
    """
    after = [0.0] * len(masses)
    parts: list[dict[int, float]] = [{} for _ in masses]
    for sender, others in enumerate(receivers):
        part = masses[sender] / (1.0 + len(others))
        after[sender] += part
        for receiver in others:
            after[receiver] += part
            parts[receiver][sender] = part
    weights = [
        {
            number: parts[peer][number] / after[peer]
            for number in _heard(peer, sorted(parts[peer]), liars, silent)
        }
        for peer in range(len(masses))
    ]
    return _places(weights, liars), after


def _heard(
    peer: int, senders: Sequence[int], liars: Collection[int], silent: Collection[int]
) -> list[int]:
    return [number for number in senders if number not in silent or peer in liars]


def _weighed(
    mixing: str,
    heard: Sequence[Sequence[int]],
    senders: Sequence[Sequence[int]],
    example_counts: Sequence[int],
) -> list[dict[int, float]]:
    """Weigh what each peer hears; degrees are of all senders, those that are silent too."""
    claims = [
        Claim(examples=count, degree=len(known))
        for count, known in zip(example_counts, senders, strict=True)
    ]
    return [
        dict(
            zip(
                numbers,
                MIXINGS[mixing](claims[peer], [claims[number] for number in numbers]),
                strict=True,
            )
        )
        for peer, numbers in enumerate(heard)
    ]


def _places(
    weights: Sequence[Mapping[int, float]], liars: Collection[int]
) -> tuple[Neighborhood, ...]:
    return tuple(
        Neighborhood(
            peer=peer,
            honest=tuple(number for number in heard if number not in liars),
            liars=tuple(number for number in heard if number in liars),
            weights=dict(heard),
        )
        for peer, heard in enumerate(weights)
    )


def mixing_rows(places: Sequence[Neighborhood], size: int) -> Tensor:
    """Return the rows of the mixing matrix that belong to some peers, shape (k, size), float32."""
    matrix = torch.zeros(len(places), size)
    for row, place in enumerate(places):
        matrix[row, place.peer] = 1.0 - sum(place.weights.values())
        for number, weight in place.weights.items():
            matrix[row, number] = weight
    return matrix
