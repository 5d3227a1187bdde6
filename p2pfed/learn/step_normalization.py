"""What a round learned, as if it had been of so many steps: whoever takes more counts alike."""

import torch
from torch import Tensor

from p2pfed.errors import LocalError


def scaled_to_steps(before: Tensor, after: Tensor, *, steps: int, normal_steps: int) -> Tensor:
    """Return where a round's steps would have led, had they been `normal_steps`.

    Peers that choose how many steps they take would else be followed the more, the more they take:
    the optimum that they agree on is that of their losses weighted by steps.

    Source: Yang, Zhang, Khanduri and Liu 2022, "Anarchic federated learning", alg. 1 and 2: local
        changes over the number of local steps, times a rate that is everybody's.
    Differs: each peer does so to its own vector before it sends that. Nobody has to be told how
        many steps a neighbor took, which could be a lie.

    Args:
        before: The own vector before the steps, shape (d,).
        after: And after them.
        steps: How many they were, at least 1.
        normal_steps: How many they are to count for, the same number at all peers.

    Raises:
        LocalError: If the result is not finite.
    """
    scaled = before + (after - before) * (normal_steps / steps)
    if not bool(torch.isfinite(scaled).all()):
        raise LocalError(f"{steps} steps scaled to {normal_steps} diverged; lower the rate")
    return scaled
