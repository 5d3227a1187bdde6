"""One attacker under many names: all of them say the same."""

import hashlib
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from sim.adversaries.attacks import draws, neighborhood
from sim.adversaries.parameters import check_number
from sim.adversaries.view import Attack, View


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sybil:
    """Send what another attack makes, equal from all liars of the coalition, or nearly so.

    The other attack is given a fresh generator per round, equal for all of them, and the mean of
    the honest rows as the own one, in the past too.

    Args:
        attack: The other attack.
        spread: Standard deviation of what the copies differ by, per coordinate, at least 0.

    Raises:
        ConfigError: If `spread` is out of range.

    Source: Fung et al. 2020, "The limitations of federated learning in Sybil settings", sybils
        that send similar updates.
    Differs: names are given out by whoever builds the network; here only what they say is equal.
    """

    attack: Attack
    spread: float = 0.0

    def __post_init__(self) -> None:
        check_number("spread", self.spread, least=0.0)

    def __call__(self, view: View) -> Tensor:
        """Return the lie, (d,)."""
        own = neighborhood.sent(neighborhood.mean(view), view)
        shared = replace(view, own=own, own_history=view.history, generator=_shared_generator(view))
        lie = self.attack(shared)
        if self.spread == 0.0:
            return lie
        return neighborhood.sent(lie.double() + self.spread * draws.normal(view), view)


def _shared_generator(view: View) -> torch.Generator:
    label = f"sybil/{view.generator.initial_seed()}/{view.round}"
    seed = int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), "big")
    return torch.Generator(device=view.generator.device).manual_seed(seed)
