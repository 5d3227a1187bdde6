"""Sleepers: honest for a while, so that they are believed when they begin."""

from dataclasses import dataclass
from typing import Final, final

from torch import Tensor

from sim.adversaries.attacks import neighborhood
from sim.adversaries.parameters import check_count
from sim.adversaries.view import Attack, View

FIRST_ROUND: Final = 20  # guess


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeper:
    """Send the own drift until some round, and another attack's lies from it on.

    Args:
        attack: The other attack.
        first_round: The first round in which it lies.

    Raises:
        ConfigError: If `first_round` is no whole number >= 0.

    Source: Marti and Garcia-Molina 2006, "Taxonomy of trust: categorizing P2P reputation systems",
        traitors, who build up a reputation before they defect.
    Differs: it lies in every round from then on.
    """

    attack: Attack
    first_round: int = FIRST_ROUND

    def __post_init__(self) -> None:
        check_count("first_round", self.first_round)

    def __call__(self, view: View) -> Tensor:
        """Return the own drift or the lie, (d,)."""
        if view.round < self.first_round:
            return neighborhood.sent(view.own, view)
        return self.attack(view)
