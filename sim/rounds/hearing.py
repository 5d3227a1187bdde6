"""What peers hear of liars in one exchange."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from sim.rounds.neighborhood import Neighborhood
from sim.rounds.peer_round import PeerRound


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hearing:
    """What liars send to one peer.

    Attributes:
        peer_round: The peer's, as they foresaw it.
        lies: Their rows, by number.
    """

    peer_round: PeerRound
    lies: Mapping[int, Tensor]


@final
class Hearings:
    """The hearings of all honest peers, each to be taken once.

    Liars turn to peers in the order of their numbers, whoever is asked for first: so draws do not
    depend on how peers integrate.

    Args:
        places: Of the honest peers, ascending.
        make: Asks a peer's liars.
    """

    def __init__(
        self, places: Iterable[Neighborhood], make: Callable[[Neighborhood], Hearing]
    ) -> None:
        self._left = (place for place in places if place.liars)
        self._make = make
        self._made: dict[int, Hearing] = {}  # by number of the peer

    def take(self, place: Neighborhood) -> Hearing:
        """Return a peer's, and forget it."""
        if not place.liars:
            return self._make(place)
        while place.peer not in self._made:
            following = next(self._left)
            self._made[following.peer] = self._make(following)
        return self._made.pop(place.peer)
