"""Slopes between two probes of a step, on rows that are drawn in secret, with noise."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.learn.loss_meter import ExampleLosses, ExampleLossMeter
from p2pfed.learn.privacy.slopes import private_slopes
from p2pfed.learn.privacy.steps import PrivateSteps


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateProbing:
    """How steps by losses alone keep a peer's rows private.

    Attributes:
        meter: Measures losses.
        steps: What a step costs, and who takes part in it; slopes are clipped to its `clip_norm`.
        batch_size: What sums of slopes are divided by: the expected number of rows of a step, or
            another constant.
    """

    meter: ExampleLossMeter
    steps: PrivateSteps
    batch_size: int


@final
class PrivateProbes:
    """What a phase of steps by losses alone asks of private rows; see `run_local_phase`.

    Args:
        probing: How to keep them private.
        losses: Of single rows.
        probe_length: Distance of a probe from the weights.
    """

    def __init__(
        self, probing: PrivateProbing, losses: ExampleLosses, *, probe_length: float
    ) -> None:
        self._steps = probing.steps
        self._losses = losses
        self._batch_size = probing.batch_size
        self._probe_length = probe_length
        self._step = -1
        self._indices = torch.empty(0, dtype=torch.int64)

    def measure(self, vector: Tensor, step: int) -> Tensor:
        """Return the losses of a vector on the rows of a step, shape (b,), CPU: they are secret."""
        if step != self._step:
            self._step, self._indices = step, self._steps.draw(self._losses.row_count)
        return self._losses.measure(vector, self._indices).cpu()

    def slope(self, ahead: Tensor, behind: Tensor) -> float:
        """Return what may be published of two probes' losses, shape (b,) each."""
        slopes = private_slopes(
            (ahead - behind) / (2.0 * self._probe_length),
            clip=self._steps.clip_norm,
            batch_size=self._batch_size,
            gaussian=self._steps.gaussian,
            numbers=self._steps.numbers,
        )
        return float(slopes)
