"""Gradients of single examples, each clipped, and their sum."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final, final

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from p2pfed.learn.examples import Examples
from p2pfed.learn.privacy.alone import EachAlone, Inputs, as_batch, mapped_inputs

# Gradient values held at a time, 256 MB of float32. Guess.
_VALUES_MAX: Final = 1 << 26
# So that rounding never lets a clipped gradient be longer than allowed.
_SAFETY: Final = 1.0 - 1e-6

Loss = Callable[[object, Tensor], Tensor]


@final
class ClippedGradients:
    """Sums up what each example alone says, so that none counts for more than a bound.

    Each example goes through the model as a batch of its own: whatever the model does to a batch,
    no example shows in the gradient of another.

    Args:
        model: In evaluation mode.
        trainable: The parameters to derive by, by any name.
        loss: (outputs, labels) to the mean loss of a batch.
        clip_norm: Largest norm of one example's gradient over all parameters together.
        computing: Makes the context of the forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        trainable: Mapping[str, nn.Parameter],
        loss: Loss,
        *,
        clip_norm: float,
        computing: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._model = model
        self._loss = loss
        self._clip_norm = clip_norm
        self._computing = computing
        own_names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._names = {name: own_names[id(value)] for name, value in trainable.items()}
        self._trainable = dict(trainable)
        self._derive = EachAlone(self._derive_mapped, self._derive_singly)
        self._rows_at_once = max(1, _VALUES_MAX // sum(p.numel() for p in trainable.values()))

    def sum(self, batch: Examples) -> tuple[dict[str, Tensor], Tensor]:
        """Return the sum of the clipped gradients by name, and each example's loss, shape (b,).

        A gradient that is not finite counts as zero.

        Raises:
            RuntimeError: If the model cannot be derived for one example.
        """
        total = {name: torch.zeros_like(value) for name, value in self._trainable.items()}
        losses = []
        for indices in torch.arange(len(batch)).split(self._rows_at_once):
            # Indices on the CPU reach rows on any device.
            gradients, some = self._derive(batch.batch(indices))
            factors = self._factors(gradients)
            for name, values in gradients.items():
                scale = factors.view(-1, *[1] * (values.dim() - 1))
                total[name] += torch.where(scale > 0.0, scale * values, 0.0).sum(dim=0)
            losses.append(some)
        return total, torch.cat(losses) if losses else torch.empty(0)

    def _factors(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Return by what to multiply each example's gradient, shape (b,)."""
        squares = torch.stack(
            [g.flatten(1).double().square().sum(dim=1) for g in gradients.values()]
        )
        norms = squares.sum(dim=0).sqrt()
        factors = (_SAFETY * self._clip_norm / norms).clamp(max=1.0)
        return torch.where(norms.isfinite(), factors, 0.0).float()

    def _derive_singly(self, rows: list[Examples]) -> tuple[dict[str, Tensor], Tensor]:
        singles = [self._derive_one(row) for row in rows]
        gradients = {name: torch.stack([each[name] for each, _ in singles]) for name in self._names}
        return gradients, torch.stack([loss for _, loss in singles])

    def _derive_mapped(self, rows: Examples) -> tuple[dict[str, Tensor], Tensor]:
        def loss_of(parameters: dict[str, Tensor], inputs: Inputs, label: Tensor) -> Tensor:
            one = as_batch(inputs)
            if isinstance(one, Tensor):
                outputs = functional_call(self._model, parameters, (one,))
            else:
                outputs = functional_call(self._model, parameters, (), dict(one))
            return self._loss(outputs, label.unsqueeze(0))

        parameters = {self._names[name]: value.detach() for name, value in self._trainable.items()}
        with self._computing():
            derive = vmap(grad_and_value(loss_of), in_dims=(None, 0, 0))
            gradients, losses = derive(parameters, mapped_inputs(rows), rows.labels)
        return {name: gradients[own] for name, own in self._names.items()}, losses.detach()

    def _derive_one(self, row: Examples) -> tuple[dict[str, Tensor], Tensor]:
        with self._computing():
            if isinstance(row.inputs, Tensor):
                outputs = self._model(row.inputs)
            else:
                outputs = self._model(**row.inputs)
            loss = self._loss(outputs, row.labels)
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, list(self._trainable.values()), allow_unused=True
        )
        gradients = {
            name: torch.zeros_like(value) if gradient is None else gradient
            for (name, value), gradient in zip(self._trainable.items(), found, strict=True)
        }
        return gradients, loss.detach()
