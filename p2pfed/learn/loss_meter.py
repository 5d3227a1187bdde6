"""Losses of any model on a peer's training batches: all that learning without gradients needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundLosses:
    """Losses of any model on the batches of one round.

    Attributes:
        measure: Returns the mean loss of a vector, shape (d,), on the batch of a step, from 0. It
            overwrites the learner's own vector.
        examples: In all batches.
        device: Where vectors are best held.
    """

    measure: Callable[[Tensor, int], float]
    examples: int
    device: torch.device


@runtime_checkable
class LossMeter(Protocol):
    """What a `Learner` may have beside: losses on its training batches, to learn without gradients.

    The method `seeds` needs it.
    """

    def training_losses(self, round: int) -> RoundLosses:
        """Return what measures models on the batches that `train` takes in a round.

        Raises:
            LocalError: If there is nothing to train on.
        """
