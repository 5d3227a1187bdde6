"""Examples that each go through a model as a batch of its own, all at once if the model can."""

import logging
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar, final

import torch
from torch import Tensor

from p2pfed.learn.examples import Examples

_log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")
Inputs = Tensor | Mapping[str, Tensor]


@final
class EachAlone(Generic[ResultT]):
    """Asks a function that is mapped over examples until it fails, and then one that goes singly.

    Args:
        mapped: Of a batch.
        singly: The same, of its examples as batches of one.
    """

    def __init__(
        self,
        mapped: Callable[[Examples], ResultT],
        singly: Callable[[list[Examples]], ResultT],
    ) -> None:
        self._mapped = mapped
        self._singly = singly
        self._is_mapped = True  # until the model shows that it cannot be

    def __call__(self, batch: Examples) -> ResultT:
        """Return what either gives.

        Raises:
            RuntimeError: If the model cannot be called with one example; whatever the model raises.
        """
        if self._is_mapped:
            try:
                return self._mapped(batch)
            except Exception as error:  # many kinds, and the model itself may be at fault
                _log.info(
                    "examples go through the model one by one, it cannot be mapped: %s", error
                )
                self._is_mapped = False
        return self._singly([batch.batch(torch.tensor([index])) for index in range(len(batch))])


def mapped_inputs(batch: Examples) -> Inputs:
    """Return a batch's inputs as a mapping of torch takes them."""
    return batch.inputs if isinstance(batch.inputs, Tensor) else dict(batch.inputs)


def as_batch(inputs: Inputs) -> Inputs:
    """Return the inputs of one example as those of a batch of one."""
    if isinstance(inputs, Tensor):
        return inputs.unsqueeze(0)
    return {name: tensor.unsqueeze(0) for name, tensor in inputs.items()}
