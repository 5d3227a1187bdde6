"""DP-SGD: steps along sums of clipped gradients with noise, on rows that are drawn in secret."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from p2pfed.learn.device import Placement
from p2pfed.learn.examples import Rows
from p2pfed.learn.privacy.accountant import Gaussian
from p2pfed.learn.privacy.gradients import ClippedGradients, Loss
from p2pfed.learn.privacy.memory import check_no_statistics, without_memory
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.updates.construction import check_number
from p2pfed.updates.method import AdaptedModel


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateSteps:
    """How a learner's steps keep its rows private.

    Every row takes part in a step with the same chance, by itself (Poisson sampling); its gradient
    is clipped to `clip_norm`; normal noise of `noise_multiplier * clip_norm` is added to the sum,
    in each coordinate. All that comes after, the optimizer included, only works on that.

    Attributes:
        gaussian: What one step costs.
        clip_norm: Above 0.
        numbers: Decide who takes part, and make the noise.

    Source: Abadi et al. 2016, "Deep learning with differential privacy", algorithm 1.
    Differs: rows are drawn by themselves, which is what the accounting is about, and the sum is
        divided by the expected size of a batch, which tells nothing.
    """

    gaussian: Gaussian
    clip_norm: float
    numbers: SecretNumbers

    def __post_init__(self) -> None:
        check_number(self.clip_norm, "privacy.clip_norm", above=0.0)

    def draw(self, row_count: int) -> Tensor:
        """Draw the rows of a step: indices, shape (b,), int64; b may be 0."""
        return (self.numbers.uniform(row_count) < self.gaussian.sample_rate).nonzero().view(-1)

    def hide(self, total: Tensor) -> Tensor:
        """Return a sum of clipped gradients with its noise, float64, on the CPU."""
        deviation = self.gaussian.noise_multiplier * self.clip_norm
        noise = self.numbers.normal(total.numel()).mul_(deviation)
        return total.cpu() + noise.view(total.shape)


@final
class PrivateGradients:
    """Puts noisy gradients where an optimizer looks for them.

    Args:
        steps: How they are made.
        adapted: The model and what trains in it.
        rows: All training rows.
        loss: (outputs, labels) to the mean loss of a batch.
        batch_size: What sums are divided by.
        placement: Where the model computes.

    Raises:
        ConfigError: If the model measures rows by more than gradients.
    """

    def __init__(
        self,
        steps: PrivateSteps,
        adapted: AdaptedModel,
        rows: Rows,
        loss: Loss,
        *,
        batch_size: int,
        placement: Placement,
    ) -> None:
        check_no_statistics(adapted.model)
        self._steps = steps
        self._adapted = adapted
        self._rows = rows
        self._batch_size = batch_size
        self._device = placement.device
        self._clipped = ClippedGradients(
            adapted.model,
            adapted.trainable,
            loss,
            clip_norm=steps.clip_norm,
            computing=placement.computing,
        )

    def derive(self) -> Tensor:
        """Set the gradients of a step; the model is in evaluation mode.

        Returns:
            The losses of the rows that took part, shape (b,), on the CPU: they are secret.

        Raises:
            LocalError: If the model remembers what it was called with.
        """
        indices = self._steps.draw(len(self._rows))
        losses = torch.empty(0)
        sums = {name: torch.zeros_like(it) for name, it in self._adapted.trainable.items()}
        if len(indices):
            batch = self._rows.batch(indices).to(self._device)
            with without_memory(self._adapted.model):
                sums, losses = self._clipped.sum(batch)
        for name, parameter in self._adapted.trainable.items():
            noisy = self._steps.hide(sums[name]) / self._batch_size
            parameter.grad = noisy.float().to(self._device)
        return losses.cpu()
