"""Losses of single examples, whatever a model does to a batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import final

import torch
from torch import Tensor, nn
from torch.func import vmap

from p2pfed.learn.device import Placement
from p2pfed.learn.examples import Examples, Rows
from p2pfed.learn.loss_meter import ExampleLosses
from p2pfed.learn.privacy.alone import EachAlone, Inputs, as_batch, mapped_inputs
from p2pfed.learn.privacy.gradients import Loss
from p2pfed.learn.privacy.memory import without_memory
from p2pfed.updates.method import AdaptedModel


@final
class SingleLosses:
    """Measures each example as a batch of its own.

    Args:
        model: In evaluation mode.
        loss: (outputs, labels) to the mean loss of a batch.
        computing: Makes the context of the forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        computing: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._model = model
        self._loss = loss
        self._computing = computing
        self._losses = EachAlone(self._map, self._singly)

    def measure(self, batch: Examples) -> Tensor:
        """Return the losses, shape (b,).

        Raises:
            LocalError: If the model remembers what it was called with.
        """
        if not len(batch):
            return torch.empty(0)
        with torch.no_grad(), self._computing(), without_memory(self._model):
            return self._losses(batch)

    def _singly(self, rows: list[Examples]) -> Tensor:
        return torch.stack([self._loss_of(it.inputs, it.labels) for it in rows])

    def _map(self, batch: Examples) -> Tensor:
        def loss_of(inputs: Inputs, label: Tensor) -> Tensor:
            return self._loss_of(as_batch(inputs), label.unsqueeze(0))

        losses: Tensor = vmap(loss_of)(mapped_inputs(batch), batch.labels)
        return losses

    def _loss_of(self, inputs: Inputs, labels: Tensor) -> Tensor:
        outputs = self._model(inputs) if isinstance(inputs, Tensor) else self._model(**inputs)
        return self._loss(outputs, labels)


def losses_of_rows(
    adapted: AdaptedModel, rows: Rows, loss: Loss, placement: Placement
) -> ExampleLosses:
    """Return what measures models on single rows.

    Args:
        adapted: The model, in evaluation mode, which takes the vectors.
        rows: All training rows.
        loss: (outputs, labels) to the mean loss of a batch.
        placement: Where the model computes.
    """
    singles = SingleLosses(adapted.model, loss, computing=placement.computing)

    def measure(vector: Tensor, indices: Tensor) -> Tensor:
        adapted.load_vector(vector)
        return singles.measure(rows.batch(indices).to(placement.device))

    return ExampleLosses(measure=measure, row_count=len(rows), device=placement.device)
