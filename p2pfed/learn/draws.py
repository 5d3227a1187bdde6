"""Which rows a peer looks at: drawn from seeds, so that it can do so again."""

from typing import Final

import torch
from torch import Tensor

from p2pfed.learn.randomness import torch_generator

# Of a probe for the loss gate: what a neighbor harms greatly shows in a few rows. Guess.
_PROBE_ROWS: Final = 8


def draw_batches(
    *, step_count: int, batch_size: int, row_count: int, seed: int, peer: str, round: int
) -> tuple[Tensor, ...]:
    """Shuffle a peer's rows as often as needed to fill the batches of a round.

    Args:
        step_count: How many batches.
        batch_size: Rows in each.
        row_count: The peer's training rows, at least 1.
        seed: The run's shared seed.
        peer: The peer's name.
        round: Number of the round.

    Returns:
        Indices of rows, one tensor of shape (batch size,) per step.
    """
    generator = torch_generator(seed, "batches", peer, round)
    needed = step_count * batch_size
    orders = [
        torch.randperm(row_count, generator=generator) for _ in range(-(-needed // row_count))
    ]
    batches: tuple[Tensor, ...] = torch.cat(orders)[:needed].view(step_count, batch_size).unbind()
    return batches


def draw_probe(row_count: int, *, secret: int, round: int) -> Tensor:
    """Draw the validation rows on which a peer tries out neighbors in a round.

    Args:
        row_count: The validation rows, at least 1.
        secret: The peer's own, in [0, 2^64): it alone is to know what it draws.
        round: Number of the round.

    Returns:
        Eight different indices, or all if there are fewer, shape (b,).
    """
    generator = torch_generator(secret, "probe", round)
    return torch.randperm(row_count, generator=generator)[:_PROBE_ROWS]


def draw_step_count(fewest: int, most: int, *, seed: int, peer: str, round: int) -> int:
    """Draw how many steps a peer takes in a round: each number from `fewest` to `most` alike.

    Args:
        fewest: At least 1.
        most: At least `fewest`.
        seed: The run's shared seed.
        peer: The peer's name.
        round: Number of the round.
    """
    generator = torch_generator(seed, "steps", peer, round)
    return int(torch.randint(fewest, most + 1, (1,), generator=generator))
