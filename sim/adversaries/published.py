"""Attacks on vectors by one peer by itself: what it publishes in place of what it learned."""

from collections import deque
from typing import Any, Final, final

import torch
from torch import Tensor
from typing_extensions import override

from sim.adversaries.adversary import Adversary
from sim.adversaries.view import Attack, View

_HISTORY_MAX: Final = 10  # own differences remembered; guess: attacks look back a few rounds


@final
class Published(Adversary):
    """Publishes what an attack makes of the own difference, and takes part as everybody does.

    The attack sees a neighborhood of one honest row, the own one. Its rounds are the publications
    so far.

    Args:
        attack: One that needs nothing else; see `sim.adversaries.attacks.registry.LOCAL`.
        generator: The peer's own.
    """

    def __init__(self, attack: Attack, generator: torch.Generator) -> None:
        self._attack = attack
        self._generator = generator
        self._round = 0
        self._history: deque[Tensor] = deque(maxlen=_HISTORY_MAX)

    @override
    def difference(self, own: Any) -> Any:
        if not isinstance(own, Tensor):  # a stub's: each of its numbers counts as a publication
            return float(self.difference(torch.tensor([own], dtype=torch.float64)))
        before = self._history[-1] if self._history else torch.zeros_like(own)
        view = View(
            honest=own[None],
            honest_before=before[None],
            own=own,
            honest_weights=torch.ones(1, dtype=torch.float64),
            byzantine_weight=0.5,
            byzantine_count=1,
            round=self._round,
            history=tuple(self._history),
            own_history=tuple(self._history),
            honest_history=tuple((row,) for row in self._history),
            rule=None,
            generator=self._generator,
        )
        lie = self._attack(view)
        self._round += 1
        self._history.append(own.clone())
        return lie
