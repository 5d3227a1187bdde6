"""Who hears whom in each exchange of a run, and with which weights."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

import topologies
from p2pfed.errors import ConfigError
from sim.rounds.config import PUSH_SUM, RoundsConfig
from sim.rounds.crowd import Crowd, find_crowds
from sim.rounds.neighborhood import (
    Neighborhood,
    mixing_rows,
    neighborhoods,
    pushed_neighborhoods,
    round_neighborhoods,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meeting:
    """One exchange.

    Attributes:
        places: Every peer's neighborhood, by number.
        receivers: To whom each peer sends, also to those who send nothing.
        mixing: The liars' rows of the mixing matrix, shape (k, n).
        crowds: Honest peers that may integrate at once.
    """

    places: tuple[Neighborhood, ...]
    receivers: tuple[tuple[int, ...], ...]
    mixing: Tensor
    crowds: tuple[Crowd, ...]


@final
class Meetings:
    """All exchanges of a run, one after the other.

    Args:
        config: Of the run.
        liars: Who lies, ascending.
        silent: Liars that send nothing.
        example_counts: Training rows of each peer.
        has_crowds: Whether peers may integrate at once.
        size: d.

    Raises:
        ConfigError: If the graph has no such mixing matrix.
    """

    def __init__(
        self,
        config: RoundsConfig,
        liars: Sequence[int],
        *,
        silent: Collection[int],
        example_counts: Sequence[int],
        has_crowds: bool,
        size: int,
    ) -> None:
        self._config = config
        self._liars = frozenset(liars)
        self._silent = frozenset(silent)
        self._example_counts = list(example_counts)
        self._has_crowds = has_crowds
        self._size = size
        self._topology = config.create_topology()
        self._masses: list[float] | None = None
        if config.mixing == PUSH_SUM:
            self._masses = [1.0] * config.peers
        self._exchange = 0
        self._lasting: Meeting | None = None
        if not self.is_changing:
            self._lasting = self._make()

    @property
    def is_changing(self) -> bool:
        """Whether two exchanges may differ."""
        is_dynamic = isinstance(self._topology, topologies.DynamicTopology)
        return is_dynamic or self._masses is not None

    @property
    def masses(self) -> Tensor | None:
        """The peers' masses under push-sum before the next exchange, shape (n, 1); else None."""
        if self._masses is None:
            return None
        return torch.tensor(self._masses)[:, None]

    def next(self) -> Meeting:
        """Return the next exchange."""
        meeting = self._lasting or self._make()
        self._exchange += 1
        return meeting

    def _make(self) -> Meeting:
        config = self._config
        receivers, places = self._gather()
        honest = [place for place in places if place.peer not in self._liars]
        lying = [place for place in places if place.peer in self._liars]
        crowds = find_crowds(config, honest, size=self._size) if self._has_crowds else []
        return Meeting(
            places=places,
            receivers=receivers,
            mixing=mixing_rows(lying, config.peers),
            crowds=tuple(crowds),
        )

    def _gather(self) -> tuple[tuple[tuple[int, ...], ...], tuple[Neighborhood, ...]]:
        """Return to whom each peer sends, and every peer's neighborhood."""
        topology = self._topology
        if isinstance(topology, topologies.DynamicTopology):
            round = topology.at(self._exchange)
            receivers = round.out_neighbors
            if self._masses is None:
                return receivers, self._weighed(round_neighborhoods, round)
        else:
            receivers = tuple(tuple(topology.neighbors(it)) for it in range(len(topology)))
            if self._masses is None:
                return receivers, self._weighed(neighborhoods, topology)
        places, self._masses = pushed_neighborhoods(
            receivers, self._masses, self._liars, silent=self._silent
        )
        return receivers, places

    def _weighed(
        self,
        make: Callable[..., tuple[Neighborhood, ...]],
        graph: topologies.Topology | topologies.Round,
    ) -> tuple[Neighborhood, ...]:
        try:
            return make(
                graph,
                self._liars,
                example_counts=self._example_counts,
                mixing=self._config.mixing,
                silent=self._silent,
            )
        except topologies.TopologyError as error:
            raise ConfigError("rounds.mixing", self._config.mixing, str(error)) from error
