"""Losses of any model on a peer's training rows: all that learning without gradients needs."""

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


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExampleLosses:
    """Losses of any model on single training rows.

    Attributes:
        measure: Returns the losses of a vector, shape (d,), on rows by their indices, shape (b,),
            each as if it was alone; b may be 0. It overwrites the learner's own vector.
        row_count: Training rows.
        device: Where vectors are best held.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    row_count: int
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


@runtime_checkable
class ExampleLossMeter(Protocol):
    """What a `Learner` may have beside: losses on single rows, so that noise can hide each.

    The method `seeds` needs it where rows are private.
    """

    def example_losses(self) -> ExampleLosses:
        """Return what measures models on single training rows.

        Raises:
            LocalError: If there is nothing to train on.
        """
