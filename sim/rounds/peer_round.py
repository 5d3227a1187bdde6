"""One peer's integration in one round, as it is carried out and as attackers try it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

import robust
from sim.rounds.neighborhood import Neighborhood
from sim.rounds.pipeline import Pipeline


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeerRound:
    """What a peer makes of the rows that its neighbors send it in a round.

    Attributes:
        pipeline: The peer's.
        place: Its neighborhood.
        names: What every peer of the run is called, by number.
        mass_caps: The largest share of some neighbors, by number.
        round: Number of the round.
        progress: Share of the run that is over.
    """

    pipeline: Pipeline
    place: Neighborhood
    names: Sequence[bytes]
    mass_caps: Mapping[int, float]
    round: int
    progress: float

    def integrate(self, own: Tensor, received: Mapping[int, Tensor]) -> robust.Integration:
        """Return what the pipeline says.

        Args:
            own: The peer's row, shape (d,).
            received: Its neighbors' rows, by number, in any order.
        """
        rows = [
            robust.Row(self.names[number], row, self.place.weights[number])
            for number, row in sorted(received.items())
        ]
        caps: dict[bytes | str, float] = {
            self.names[number]: cap for number, cap in self.mass_caps.items()
        }
        return self.pipeline.integrate(
            own, rows, mass_caps=caps, round=self.round, progress=self.progress
        )

    def answer(self, rows: Tensor) -> Tensor:
        """Return the peer's next row, shape (d,), as the attackers foresee it.

        It is what `integrate` makes of these rows to the last bit.

        Args:
            rows: Shape (m, d): the peer's own row, those of its honest neighbors, then those of its
                liars. Of another number it is not known whose they are: strangers that weigh alike.
        """
        own, others = rows[0], rows[1:].unbind()
        numbers = [*self.place.honest, *self.place.liars]
        if len(others) == len(numbers):
            return self.integrate(own, dict(zip(numbers, others, strict=True))).vector
        strangers = [robust.Row(f"{place:06d}", row) for place, row in enumerate(others)]
        return self.pipeline.integrate(
            own, strangers, mass_caps={}, round=self.round, progress=self.progress
        ).vector
