"""The scalar mechanism: private slopes for steps that are published as single numbers."""

import math

import torch
from torch import Tensor

from p2pfed.learn.privacy.accountant import Gaussian
from p2pfed.learn.privacy.secret import SecretNumbers
from p2pfed.updates.construction import check_integer, check_number


def private_slopes(
    slopes: Tensor,
    *,
    clip: float,
    batch_size: int,
    gaussian: Gaussian,
    numbers: SecretNumbers,
) -> Tensor:
    """Average what examples say of some directions, so that it tells little of any of them.

    Each example's slopes are clipped to norm `clip`, their sum is divided by `batch_size`, and
    normal noise of `noise_multiplier * clip / batch_size` is added to each. The result may be
    quantized and published; nothing before it may. It costs one release of `gaussian`, however
    many directions there are; a step with one direction bears the noise of one number, whatever
    the size of the model.

    Args:
        slopes: Of the examples of one step, (l+ - l-) / (2 radius): shape (b,) for one direction,
            (b, k) for k. The examples were drawn by themselves, each with the chance
            `gaussian.sample_rate`, from numbers that nobody else knows; b may be 0. The directions
            do not depend on private rows. Slopes of an example that are not finite count as 0.
        clip: Above 0, in units of a slope.
        batch_size: The expected b: `gaussian.sample_rate` times the rows, or another number that
            was fixed before. Not b itself: with b, an example changes the result by more.
        gaussian: What the release costs.
        numbers: Make the noise.

    Returns:
        Shape () or (k,), float64.

    Raises:
        ConfigError: If a number is out of range.
    """
    check_number(clip, "privacy.clip_norm", above=0.0)
    check_integer(batch_size, "steps.batch_size", least=1)
    table = slopes.detach().cpu().double().view(len(slopes), math.prod(slopes.shape[1:]))
    norms = torch.linalg.vector_norm(table, dim=1, keepdim=True)
    clipped = torch.where(norms.isfinite(), table * (clip / norms).clamp(max=1.0), 0.0)
    noise = numbers.normal(table.shape[1]).mul_(gaussian.noise_multiplier * clip)
    return ((clipped.sum(dim=0) + noise) / batch_size).view(slopes.shape[1:])
